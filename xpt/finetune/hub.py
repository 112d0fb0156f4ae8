"""A benchmark from the Hub: one commit of its data set, its rows as records of the official files.

Class labels become names by the data set's own list, because the Hub's order need not be the benchmark's.
What else differs is undone by each task (`Task.hub_record`).
"""

from pathlib import Path
from typing import Any

import datasets

from xpt.finetune.data import make_split
from xpt.finetune.split import Split
from xpt.finetune.task import Record, Task
from xpt.program.errors import XPTError
from xpt.text.corpus.hub import find_dataset


def read_hub(task: Task, name: str, revision: str | None, split: str) -> Split:
    """One split of a task's configuration.

    Args:
        name: Hub id, or a folder laid out as the data set is.
        revision: branch, tag or commit; what it stands for is recorded.

    Raises:
        XPTError: it cannot be had, or has other columns or labels.
    """
    commit = None
    if not Path(name).is_dir():
        commit = find_dataset(name, task.name, revision).revision
    try:
        loaded = datasets.load_dataset(name, task.name, split=split, revision=commit)
    except Exception as error:  # builders raise whatever their format's library does
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise XPTError(
            f"{name}: its {task.name} {split} cannot be had ({reason}); give --data_dir or --{split}_file"
        ) from error
    origin = f"{name} {task.name} {split}"
    examples: list[Any] = []
    for number, row in enumerate(loaded):
        guid = row.get("guid") or task.hub_guid(split, number)
        record = Record(None, f"{origin} row {number}")
        try:
            value = task.hub_record(named_labels(row, loaded.features), guid)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise record.wrong(f"other columns or labels ({type(error).__name__}: {error})") from error
        examples += task.examples(Record(value, f"{origin}: {guid}"))
    return make_split(task, split, examples, origin, commit)


def named_labels(row: dict[str, Any], features: Any) -> dict[str, Any]:
    """A row whose class labels, alone or listed, are replaced by their names."""
    return {name: _named(value, features[name]) for name, value in row.items()}


def _named(value: Any, feature: Any) -> Any:
    if isinstance(feature, datasets.ClassLabel):
        return None if value is None or value < 0 else feature.int2str(value)
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        return [_named(entry, inner) for entry in value]
    return value
