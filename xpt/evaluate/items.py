"""Test items and the examples that are shown before them, by the readers of fine-tuning."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.finetune.benchmark import Benchmark
from xpt.finetune.benchmarks import BENCHMARKS
from xpt.finetune.data import find_file, first_examples, read_file
from xpt.finetune.hub import read_hub
from xpt.finetune.kobest.tasks import KOBEST
from xpt.finetune.kobest.wic import WiC
from xpt.finetune.sequence import LabelledText
from xpt.finetune.split import Split
from xpt.finetune.task import Record, Task
from xpt.program.errors import XPTError


@dataclass(frozen=True)
class WordInContext(LabelledText):
    """A pair of sentences, and the word that they are about."""

    word: str


class AskedWiC(WiC):
    """As for fine-tuning, and with the word, which prompts name; sentences need not mark it."""

    columns = {**WiC.columns, "Target": "word"}  # noqa: RUF012

    def examples(self, record: Record) -> list[LabelledText]:
        """One."""
        (example,) = super().examples(record)
        return [WordInContext(**vars(example), word=self.text(record, "Target"))]


def premise_of(example: Any) -> tuple[str, str]:
    """Of a COPA example its own text, and "because" or "therefore", which its reader has put behind that."""
    premise, connective = example.context.rsplit(" ", 1)
    return premise, connective


ASKED: dict[str, type[Task]] = {**KOBEST.tasks, WiC.name: AskedWiC}  # the tasks that prompts ask


@dataclass(frozen=True)
class DataSource:
    """Where items come from.

    Args:
        folders: official releases; none of them stands for the Hub.
        dataset: on the Hub; None for the benchmark's.
        revision: of it.
    """

    folders: tuple[Path, ...] = ()
    dataset: str | None = None
    revision: str | None = None

    def read(self, task: Task, split: str, count: int | None = None) -> Split:
        """A split of a task, or its first `count` examples. Raises `XPTError` where it cannot be read."""
        if not self.folders:
            dataset = self.dataset or BENCHMARKS[task.benchmark].dataset
            return first_examples(read_hub(task, dataset, self.revision, split), count)
        for folder in self.folders[:-1]:
            try:
                file = find_file(task, folder, split)
            except XPTError:
                if not folder.is_dir():
                    raise
                continue
            return first_examples(read_file(task, file, split), count)
        return first_examples(read_file(task, find_file(task, self.folders[-1], split), split), count)


def owner_of(name: str) -> Benchmark:
    """The benchmark of a task. Raises `XPTError` for a task that there is not."""
    for benchmark in BENCHMARKS.values():
        if name in benchmark.tasks:
            return benchmark
    known = "; ".join(f"{one.title}: {', '.join(one.tasks)}" for one in BENCHMARKS.values())
    raise XPTError(f"unknown task {name!r:.40}; there are, of {known}")


def draw_shots(examples: Sequence[Any], items: int, count: int, seed: int) -> list[list[Any]]:
    """For each of so many items `count` training examples, drawn one item after the other.

    That is lm-evaluation-harness's draw (its seed is 1234), so that item i has the same shots there.
    """
    drawer = random.Random(seed)
    return [drawer.sample(examples, count) if count else [] for _ in range(items)]
