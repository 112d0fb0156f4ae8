"""WiC: whether a word means the same in two sentences."""

from xpt.finetune.kobest.kobest_task import KobestTask
from xpt.finetune.sequence import LabelledText, SequenceTask
from xpt.finetune.task import Record


class WiC(KobestTask, SequenceTask):
    """Two sentences, the word in square brackets as they come -> True or False.

    The tables tell the dictionary's sense of the word in each sentence, and link to it: the answer. Both are
    left out.
    """

    name = "wic"
    title = "meaning of a word in two contexts"
    folder = "WiC"
    sizes = {"train": 3_318, "validation": 610, "test": 1_260}  # noqa: RUF012
    columns = {"SENTENCE1": "context_1", "SENTENCE2": "context_2", "ANSWER": "label"}  # noqa: RUF012
    label_column = "ANSWER"
    labels = ("False", "True")
    selected_on = "wic/macro_f1"

    def examples(self, record: Record) -> list[LabelledText]:
        """One."""
        sentences = (self.text(record, "SENTENCE1"), self.text(record, "SENTENCE2"))
        return [LabelledText(record.value["guid"], *sentences, self.label(record))]
