"""NLI: whether a premise entails a hypothesis, contradicts it, or neither (KLUE paper 3.3)."""

from collections.abc import Iterator
from typing import Any

from xpt.finetune.judgment import Passage
from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import json_records
from xpt.finetune.records import take, take_label
from xpt.finetune.sequence import LabelledText, SequenceTask
from xpt.finetune.task import Hyperparameters, Record


class NLI(KlueTask, SequenceTask):
    """Premise and hypothesis -> relation."""

    name = "nli"
    title = "natural language inference"
    folder = "klue-nli-v1.1"
    suffix = ".json"
    sizes = {"train": 24_998, "validation": 3_000}  # noqa: RUF012
    labels = ("entailment", "contradiction", "neutral")
    settings = Hyperparameters(128, 5e-5, 32, 5, warmup_ratio=0.1)
    large_settings = Hyperparameters(128, 5e-5, 32, 5, warmup_ratio=0.2)
    selected_on = "nli/accuracy"
    patience = 5  # a default that the official script leaves as it is
    prediction_fields = ("label",)

    def records(self, text: str, file: str) -> Iterator[Record]:
        """A JSON list."""
        return json_records(text, file)

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub calls the gold label `label`."""
        return {**row, "gold_label": row.get("label")}

    def passages(self, example: LabelledText) -> tuple[Passage, ...]:
        """Premise and hypothesis."""
        return (Passage("premise", example.first), Passage("hypothesis", example.second or ""))

    def examples(self, record: Record) -> list[LabelledText]:
        """`guid`, `premise`, `hypothesis` and `gold_label`; annotators' labels are not used."""
        label = take_label(record, take(record, "gold_label"), self.labels)
        return [
            LabelledText(take(record, "guid"), take(record, "premise"), take(record, "hypothesis"), label)
        ]
