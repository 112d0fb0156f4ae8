"""BoolQ: whether the answer to a question about a paragraph is yes."""

from dataclasses import replace

from xpt.finetune.kobest.kobest_task import KobestTask
from xpt.finetune.sequence import LabelledText, SequenceTask
from xpt.finetune.task import Record


class BoolQ(KobestTask, SequenceTask):
    """Paragraph and question -> True or False."""

    name = "boolq"
    title = "yes or no question answering"
    folder = "BoolQ"
    sizes = {"train": 3_665, "validation": 700, "test": 1_404}  # noqa: RUF012
    columns = {"Text": "paragraph", "Question": "question", "Answer": "label"}  # noqa: RUF012
    label_column = "Answer"
    labels = ("False", "True")
    settings = replace(KobestTask.settings, max_seq_length=512)
    large_settings = replace(KobestTask.large_settings, max_seq_length=512)
    selected_on = "boolq/macro_f1"

    def examples(self, record: Record) -> list[LabelledText]:
        """One."""
        texts = (self.text(record, "Text"), self.text(record, "Question"))
        return [LabelledText(record.value["guid"], *texts, self.label(record))]
