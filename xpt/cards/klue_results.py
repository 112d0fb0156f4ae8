"""Results of fine-tuning that belong to a checkpoint: the hash of its weights says which."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xpt.finetune.benchmarks import BENCHMARKS
from xpt.finetune.table import find_results
from xpt.finetune.weight_files import find_weights
from xpt.program.errors import XPTError

SHOWN = 12  # characters of a hash that a person compares


def matching_results(folder: Path, results_dirs: Iterable[Path]) -> list[dict[str, Any]]:
    """Results of `finetune_klue.py` in `results_dirs` and below that began from the weights of `folder`.

    They come in the benchmarks' order, seeds of a task together, each result once.

    Raises:
        XPTError: a directory that holds no results, or only those of other checkpoints; the hashes are named.
    """
    found: list[dict[str, Any]] = []
    for place in results_dirs:
        own = find_weights(str(folder), None).sha256
        results = find_results([Path(place)])
        matching = [one for one in results if one["model"]["sha256"] == own]
        if not matching:
            others = sorted({f"{one['model']['sha256'][:SHOWN]} ({one['model']['name']})" for one in results})
            raise XPTError(
                f"{place}: holds results of other checkpoints only: {', '.join(others)}; the weights of "
                f"{folder} are {own[:SHOWN]}; name the results of that one"
            )
        found += [one for one in matching if one not in found]
    tasks = [(name, task) for name, benchmark in BENCHMARKS.items() for task in benchmark.tasks]
    return sorted(found, key=lambda one: (tasks.index((one["kind"], one["task"])), one["seed"]))
