"""SentiNeg: the sentiment of reviews, trained on plain ones, tested on reviews that were negated."""

from xpt.finetune.kobest.kobest_task import KobestTask
from xpt.finetune.sequence import LabelledText, SequenceTask
from xpt.finetune.task import Record


class SentiNeg(KobestTask, SequenceTask):
    """Review -> negative or positive. What a test review was before it was negated is not read."""

    name = "sentineg"
    title = "sentiment of negated reviews"
    folder = "SentiNeg"
    sizes = {"train": 3_649, "validation": 400, "test": 397}  # noqa: RUF012
    columns = {"Text": "sentence", "Label": "label"}  # noqa: RUF012
    label_column = "Label"
    labels = ("negative", "positive")
    spellings = {"0": "negative", "1": "positive"}  # noqa: RUF012
    selected_on = "sentineg/macro_f1"

    def examples(self, record: Record) -> list[LabelledText]:
        """One."""
        return [LabelledText(record.value["guid"], self.text(record, "Text"), None, self.label(record))]
