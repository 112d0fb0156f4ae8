"""A task of the benchmark: what its five tasks share, their tables, labels and scores.

The official tables spell one label in several ways (`True`, `TRUE`), order columns differently from split to
split, quote nothing and leave blanks at the ends of cells; columns that are not named here are never read.
The Hub's data set has names of its own for columns, and numbers from 0 for labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from xpt.finetune.data import FILE_SPLITS
from xpt.finetune.label_scores import LabelMetric, label_baselines, label_intervals
from xpt.finetune.records import table_records, take, take_label
from xpt.finetune.task import Hyperparameters, Metric, Record, Task


class KobestTask(Task):
    """A label an example, scored on the test split by accuracy and macro F1; validation chooses the step.

    The settings are this package's, alike for all five tasks but for the length.
    """

    benchmark = "kobest"
    suffix = ".tsv"
    scored_on = "test"
    prediction_fields = ("label",)
    settings = Hyperparameters(128, 2e-5, 16, 10, warmup_ratio=0.1)
    large_settings = replace(settings, learning_rate=1e-5)
    folder: ClassVar[str]  # of the official release: "COPA"
    columns: ClassVar[dict[str, str]]  # what is read: the official column, and what the Hub calls it
    label_column: ClassVar[str]  # one of them
    spellings: ClassVar[dict[str, str]] = {}  # of labels in the tables, where they are other words

    def file_stems(self, split: str) -> tuple[str, ...]:
        """In the release, in its repository, or all in one folder: "copa_dev.tsv"."""
        name = FILE_SPLITS[split]
        return f"{self.folder}/{name}", f"v1.0/{self.folder}/{name}", f"{self.name}_{name}"

    def records(self, text: str, file: str) -> Iterator[Record]:
        """The rows; each is called by its number, for not all tables have ids, and the Hub has none."""
        for number, record in enumerate(table_records(text, file, self.columns)):
            yield Record({**record.value, "guid": self.hub_guid("", number)}, record.place)

    def hub_guid(self, split: str, number: int) -> str:
        """The same as in the tables: "copa-00017" is row 17 of the split, from 0."""
        return f"{self.name}-{number:05d}"

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The row under the official names; a label that is a number is the name of that index."""
        record = {column: row[name] for column, name in self.columns.items()}
        label = record[self.label_column]
        if isinstance(label, int):
            record[self.label_column] = dict(enumerate(self.labels)).get(label, str(label))
        return {**record, "guid": guid}

    def text(self, record: Record, column: str) -> str:
        """A cell without blanks at its ends. Raises `XPTError` where it is empty."""
        text: str = take(record, column).strip()
        if not text:
            raise record.wrong(f"the field {column!r} is empty")
        return text

    def label(self, record: Record) -> str:
        """The answer under one name, however it is spelled. Raises `XPTError` for an unknown one."""
        said = self.text(record, self.label_column)
        known = {name.upper(): name for name in self.labels} | self.spellings
        return take_label(record, known.get(said.upper(), said), self.labels)

    def metric(self) -> Metric:
        """Accuracy and macro F1."""
        return LabelMetric(self.name)

    def baselines(self, examples: Sequence[Any]) -> dict[str, dict[str, float]]:
        """Chance, and the most frequent label of `examples` for all."""
        return label_baselines(self.name, self.labels, [example.label for example in examples])

    def intervals(
        self, examples: Sequence[Any], predictions: Sequence[dict[str, Any]]
    ) -> dict[str, tuple[float, float]]:
        """Of both metrics."""
        gold = [example.label for example in examples]
        return label_intervals(self.name, self.labels, gold, [line["label"] for line in predictions])
