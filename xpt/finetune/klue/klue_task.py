"""A task of the benchmark: what its eight tasks share, their release and the official metrics."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from xpt.finetune.data import FILE_SPLITS
from xpt.finetune.task import Metric, Task

VERSION = "v1.1"


class KlueTask(Task):
    """A task whose files are those of release v1.1, scored as the benchmark scores it."""

    benchmark = "klue"
    folder: ClassVar[str]  # of the official release, and how its file names begin: "klue-ner-v1.1"

    def file_stems(self, split: str) -> tuple[str, ...]:
        """In the release, or in the task's own folder."""
        name = f"{self.folder}_{FILE_SPLITS[split]}"
        return f"{self.folder}/{name}", name

    def hub_guid(self, split: str, number: int) -> str:
        """NER and DP have lost theirs."""
        return f"klue-{self.name}-hub_{split}_{number:05d}"

    def warnings(self, origin: str, examples: Sequence[Any]) -> list[str]:
        """A name that says another version than v1.1, which changed NER, DP and MRC."""
        named = re.search(r"-v(\d+(?:\.\d+)*)[_.-]", Path(origin).name)
        if named and f"v{named[1]}" != VERSION:
            return [f"{origin}: is of v{named[1]}, and scores are published for {VERSION}"]
        return []

    def metric(self) -> Metric:
        """The configuration of `klue_metric` of this task's name."""
        from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric  # scikit-learn: for who scores

        return KlueMetric(self.name)
