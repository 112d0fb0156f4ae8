"""The benchmarks by name; a new one is a folder with its tasks, and a row here."""

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


def task_names(benchmark: Benchmark, given: list[str] | None) -> list[str]:
    """What `--task` names. Raises `XPTError` for none, an unknown one, or one of another benchmark."""
    for other in BENCHMARKS.values():
        elsewhere = [name for name in given or () if name in other.tasks and name not in benchmark.tasks]
        if elsewhere:
            raise XPTError(f"{elsewhere[0]} is a task of {other.title}: give --benchmark {other.name}")
    return benchmark.task_names(given)


def benchmark_of(results: Any) -> Benchmark | None:
    """The benchmark whose results these are; None for what is no result of fine-tuning."""
    return BENCHMARKS.get(str(results.get("kind"))) if isinstance(results, dict) else None
