"""HellaSwag: which of four sentences goes on with a story."""

from dataclasses import replace

from xpt.finetune.kobest.kobest_task import KobestTask
from xpt.finetune.multiple_choice import Choice, MultipleChoiceTask
from xpt.finetune.task import Record

ENDINGS = ("choice1", "choice2", "choice3", "choice4")


class HellaSwag(KobestTask, MultipleChoiceTask):
    """Context -> one of four endings."""

    name = "hellaswag"
    title = "choice of the sentence that follows"
    folder = "HellaSwag"
    sizes = {"train": 2_029, "validation": 500, "test": 500}  # noqa: RUF012
    columns = {  # noqa: RUF012
        "context": "context",
        **{ending: f"ending_{number}" for number, ending in enumerate(ENDINGS, 1)},
        "label": "label",
    }
    label_column = "label"
    labels = ("ending_1", "ending_2", "ending_3", "ending_4")
    spellings = {str(number): label for number, label in enumerate(labels)}  # noqa: RUF012
    settings = replace(KobestTask.settings, max_seq_length=256)
    large_settings = replace(KobestTask.large_settings, max_seq_length=256)
    selected_on = "hellaswag/macro_f1"

    def examples(self, record: Record) -> list[Choice]:
        """One."""
        choices = tuple(self.text(record, ending) for ending in ENDINGS)
        return [Choice(record.value["guid"], self.text(record, "context"), choices, self.label(record))]
