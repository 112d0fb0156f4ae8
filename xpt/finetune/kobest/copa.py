"""COPA: which of two sentences is the cause, or the result, of another."""

from xpt.finetune.kobest.kobest_task import KobestTask
from xpt.finetune.multiple_choice import Choice, MultipleChoiceTask
from xpt.finetune.task import Record

# What is asked for, and the words by which a sentence goes on to it: "because", "therefore".
CONNECTIVES = {"원인": "왜냐하면", "결과": "그래서"}


class COPA(KobestTask, MultipleChoiceTask):
    """Premise and "because" or "therefore" -> the first or the second alternative."""

    name = "copa"
    title = "choice of the plausible cause or result"
    folder = "COPA"
    sizes = {"train": 3_076, "validation": 500, "test": 1_000}  # noqa: RUF012
    columns = {  # noqa: RUF012
        "sentence": "premise",
        "question": "question",
        "1": "alternative_1",
        "2": "alternative_2",
        "Answer": "label",
    }
    label_column = "Answer"
    labels = ("alternative_1", "alternative_2")
    spellings = {"1": "alternative_1", "2": "alternative_2"}  # noqa: RUF012
    selected_on = "copa/macro_f1"

    def examples(self, record: Record) -> list[Choice]:
        """One. Raises `XPTError` for a question that asks for neither cause nor result."""
        asked = self.text(record, "question")
        if asked not in CONNECTIVES:
            raise record.wrong(f"the question is {asked!r:.60}, none of {', '.join(CONNECTIVES)}")
        context = f"{self.text(record, 'sentence')} {CONNECTIVES[asked]}"
        choices = (self.text(record, "1"), self.text(record, "2"))
        return [Choice(record.value["guid"], context, choices, self.label(record))]
