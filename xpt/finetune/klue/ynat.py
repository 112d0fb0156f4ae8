"""YNAT: the topic of a news headline, one of seven (KLUE paper 3.1)."""

from collections.abc import Iterator
from typing import Any

from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import json_records
from xpt.finetune.records import take, take_label
from xpt.finetune.sequence import LabelledText, SequenceTask
from xpt.finetune.task import Hyperparameters, Record


class YNAT(KlueTask, SequenceTask):
    """Headline -> topic."""

    name = "ynat"
    title = "topic classification"
    folder = "ynat-v1.1"
    suffix = ".json"
    sizes = {"train": 45_678, "validation": 9_107}  # noqa: RUF012
    labels = ("정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠")
    settings = Hyperparameters(128, 5e-5, 32, 4, warmup_ratio=0.1)
    large_settings = Hyperparameters(128, 5e-5, 32, 4, warmup_ratio=0.2)
    selected_on = "ynat/macro_f1"
    prediction_fields = ("label",)

    def records(self, text: str, file: str) -> Iterator[Record]:
        """A JSON list."""
        return json_records(text, file)

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub has the same fields."""
        return row

    def examples(self, record: Record) -> list[LabelledText]:
        """`guid`, `title` and `label`; the other fields are not used."""
        label = take_label(record, take(record, "label"), self.labels)
        return [LabelledText(take(record, "guid"), take(record, "title"), None, label)]
