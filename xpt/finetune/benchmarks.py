"""The benchmarks by name; a new one is a folder with its tasks, and a row here."""

from collections.abc import Iterable
from typing import Any

from xpt.finetune.benchmark import Benchmark
from xpt.finetune.klue.tasks import KLUE
from xpt.finetune.kobest.tasks import KOBEST
from xpt.program.errors import XPTError

BENCHMARKS = {benchmark.name: benchmark for benchmark in (KLUE, KOBEST)}


def find_benchmark(name: str) -> Benchmark:
    """A benchmark by its name. Raises `XPTError` for one that there is not."""
    if name not in BENCHMARKS:
        raise XPTError(f"unknown benchmark {name!r:.40}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def check_owner(benchmark: Benchmark, names: Iterable[str]) -> None:
    """Raise `XPTError` where one of `names` is a task of another benchmark."""
    for name in names:
        for other in BENCHMARKS.values():
            if name in other.tasks and name not in benchmark.tasks:
                raise XPTError(f"{name} is a task of {other.title}: give --benchmark {other.name}")


def benchmark_of(results: Any) -> Benchmark | None:
    """The benchmark whose results these are; None for what is no result of fine-tuning."""
    return BENCHMARKS.get(str(results.get("kind"))) if isinstance(results, dict) else None
