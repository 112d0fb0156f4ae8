"""What a study is, read from its YAML: one recipe, what is varied in it, what is measured.

An axis has named values. Each is a bundle: recipe files and options that are laid over the base, in the order
of the axes; a plain value is the bundle of one option.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from xpt.program.errors import XPTError
from xpt.program.yaml_text import read_entries
from xpt.study.budget import Budget

KEYS = ("question", "base", "axes", "measure", "budget", "first", "output")
SEED = "seed"
DEFAULT_OUTPUT = "output/studies"
NEEDED = ("base", "axes")

Part = str | dict[str, Any]  # a recipe file, or options by name
Labels = dict[str, str]  # of each axis the name of a value


@dataclass(frozen=True)
class Study:
    """What is compared.

    Args:
        name: of its file.
        base: what all runs share, the later part wins.
        axes: by name, of each value's name what it adds.
        measure: by name, options of `xpt finetune` on what each run has trained.
        along: of a measure the shares of a run at which it is taken too, beside its end.
        budget: of each run.
        first: of some axes a value's name: a row is compared with the one that has these instead of its own.
        output: the folder of all studies, which share their runs.
        question: what it is to answer, in a sentence; its file's path: how it is called.
    """

    name: str
    base: tuple[Part, ...]
    axes: dict[str, dict[str, tuple[Part, ...]]]
    measure: dict[str, dict[str, Any]]
    along: dict[str, tuple[float, ...]]
    budget: Budget
    first: Labels
    output: Path
    question: str
    path: Path

    def combinations(self) -> list[Labels]:
        """One value of each axis, in all ways; the last axis changes first."""
        return [dict(zip(self.axes, names, strict=True)) for names in product(*self.axes.values())]


def read_study(path: Path) -> Study:
    """Read a study. Raises `XPTError`, in one line, for what is none."""
    try:
        entries = read_entries(path.read_text(encoding="utf-8"), as_written=KEYS)
    except FileNotFoundError:
        raise XPTError(f"{path}: no such study; give a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise XPTError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    try:
        return _study(path, entries or {})
    except XPTError as error:
        raise XPTError(f"{path}: {error}") from error


def _study(path: Path, entries: Mapping[str, Any]) -> Study:
    _only(entries, KEYS, "a study")
    for key in NEEDED:
        if not entries.get(key):
            raise XPTError(f"a study has {' and '.join(NEEDED)}; {key} is missing")
    axes = _mapping(entries["axes"], "axes")
    read = {str(axis): _axis(str(axis), values) for axis, values in axes.items()}
    measure, along = _measures(entries.get("measure"))
    return Study(
        name=path.stem,
        base=_bundle(entries["base"], "base"),
        axes=read,
        measure=measure,
        along=along,
        budget=Budget.read(entries.get("budget")),
        first=_first(entries.get("first"), read),
        output=Path(str(entries.get("output") or DEFAULT_OUTPUT)).expanduser(),
        question=" ".join(str(entries.get("question") or "").split()),
        path=path,
    )


def _axis(name: str, values: Any) -> dict[str, tuple[Part, ...]]:
    if isinstance(values, list):
        named: list[tuple[str, tuple[Part, ...]]] = [(_label(value), ({name: value},)) for value in values]
    else:
        named = [(str(n), _bundle(v, f"axis {name}")) for n, v in _mapping(values, f"axis {name}").items()]
    if not named or len(dict(named)) < len(named):
        raise XPTError(f"axis {name}: give values, each once")
    if name == SEED and not isinstance(values, list):
        raise XPTError("axis seed: give a list of seeds")
    return dict(named)


def _bundle(value: Any, where: str) -> tuple[Part, ...]:
    """Recipe files and options, in their order."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(part for one in value for part in _bundle(one, where))
    options = dict(_mapping(value, where))
    files = options.pop("recipe", None)
    return (*_bundle(files, where), *([options] if options else []))


def _measures(value: Any) -> tuple[dict[str, dict[str, Any]], dict[str, tuple[float, ...]]]:
    """Options of `xpt finetune` by the measure's name, and where along a run it is taken too."""
    found, along = {}, {}
    for name, options in _mapping(value or {}, "measure").items():
        options = {} if options is None else dict(_mapping(options, f"measure {name}"))
        if (at := _shares(options.pop("at", None), f"measure {name}")) is not None:
            along[str(name)] = at
        found[str(name)] = {"task": name, **options}
    return found, along


def _shares(value: Any, where: str) -> tuple[float, ...] | None:
    """Shares of a run below 1, in order; the end, 1, is always measured and may be named."""
    if value is None:
        return None
    try:
        shares = sorted({float(one) for one in (value if isinstance(value, list) else [value])})
    except (TypeError, ValueError):
        shares = [0.0]
    if not all(0 < share <= 1 for share in shares):
        raise XPTError(f"{where}: at has shares of a run, above 0 and up to 1, as [0.25, 0.5]")
    return tuple(share for share in shares if share < 1)


def _first(value: Any, axes: Mapping[str, Collection[str]]) -> Labels:
    """Which values a row is compared with; without, the first of each axis but how much text there is."""
    if value is None:
        names = (name for name in axes if name not in (SEED, "train_sentences"))
        return {name: next(iter(axes[name])) for name in names}
    if not isinstance(value, dict):
        homes = [name for name in axes if name != SEED and _label(value) in axes[name]]
        if len(homes) != 1:
            raise XPTError(f"first: {_label(value)!r} is a value of {len(homes)} axes; write `axis: value`")
        return {homes[0]: _label(value)}
    chosen = {str(name): _label(label) for name, label in value.items()}
    for name, label in chosen.items():
        if name == SEED or label not in axes.get(name, ()):
            raise XPTError(
                f"first: axis {name} has no value {label!r}, or seeds; rows are compared by others"
            )
    return chosen


def _label(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise XPTError(f"{where}: give `name: value`, not {str(value)!r:.60}")
    return value


def _only(entries: Mapping[Any, Any], known: Collection[str], where: str) -> None:
    unknown = [name for name in entries if name not in known]
    if unknown:
        raise XPTError(f"unknown entry {unknown[0]!r}; {where} has {', '.join(known)}")
