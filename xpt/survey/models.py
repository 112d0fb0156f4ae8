"""The models of the survey, as `models.yaml` has them: facts under the source that states them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from xpt.program.errors import XPTError
from xpt.program.yaml_text import read_entries

FILE = Path(__file__).with_name("models.yaml")
UNDISCLOSED = "undisclosed"  # by the makers; what no source states is None
STRENGTHS = ("run", "file", "card", "issue", "abstract", "secondary", "inference", "memory")
KINDS = ("encoder", "decoder", "encoder-decoder")
COUNTS = ("vocabulary", "parameters", "positions", "year")
FIELDS = {  # name -> what it says
    "title": "name",
    "by": "made by",
    "year": "year",
    "kind": "kind",
    "family": "model_type of transformers",
    "language": "language",
    "objective": "objective",
    "text": "text",
    "tokenizer": "tokenizer",
    "vocabulary": "vocabulary",
    "parameters": "parameters",
    "positions": "tokens it reads",
    "hub": "Hub id",
    "access": "how it is had",
    "license": "license",
    "load": "opened with",
    "defects": "wrong with it",
}
_COUNT = re.compile(r"([\d.]+)([KMBT]?)")
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_SIZE = re.compile(r"([\d.]+) (GB|GiB|TB)\b")
_BYTES = {"GB": 1.0, "GiB": 2**30 / 10**9, "TB": 1000.0}


@dataclass(frozen=True)
class Source:
    """Where a fact stands, and how strong that is as evidence (`STRENGTHS`)."""

    key: str
    title: str
    strength: str


@dataclass(frozen=True)
class Fact:
    """A value that a source states: a number, text, or of `objective` a list, of `load` a mapping."""

    value: Any
    source: Source


@dataclass(frozen=True)
class Model:
    """A model: the name of the list, and for each field its facts, the one that counts first."""

    name: str
    facts: Mapping[str, tuple[Fact, ...]]

    def value(self, field: str) -> Any:
        """What counts of a field; None where no source that we know states it."""
        facts = self.facts.get(field)
        return facts[0].value if facts else None

    def number(self, field: str) -> int | None:
        """The same of a count; None also where it is undisclosed."""
        value = self.value(field)
        return value if isinstance(value, int) else None

    @property
    def gigabytes(self) -> float | None:
        """Size of the text in 10^9 bytes, where any source gives it so."""
        for fact in self.facts.get("text", ()):
            if size := _SIZE.search(fact.value):
                return float(size[1]) * _BYTES[size[2]]
        return None


@dataclass(frozen=True)
class Survey:
    """All models by name, all sources by key."""

    models: Mapping[str, Model]
    sources: Mapping[str, Source]

    def on_hub(self, hub_id: str) -> Model | None:
        """The model that has this Hub id."""
        return next((model for model in self.models.values() if model.value("hub") == hub_id), None)


@cache
def read_survey(file: Path = FILE) -> Survey:
    """The survey. Raises `XPTError` for a fact without a source, and for what is no field of a model."""
    try:
        content = read_entries(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise XPTError(f"{file.name}: not readable as YAML: {' '.join(str(error).split())}") from error
    sources = {key: Source(key, **entry) for key, entry in content["sources"].items()}
    for source in sources.values():
        if source.strength not in STRENGTHS:
            raise XPTError(f"{file.name}: {source.key}: strength is none of {', '.join(STRENGTHS)}")
    return Survey(
        {name: _model(name, entry, sources, file) for name, entry in content["models"].items()}, sources
    )


def _model(name: str, entry: Mapping[str, Any], sources: Mapping[str, Source], file: Path) -> Model:
    facts: dict[str, list[Fact]] = {}
    for key, stated in entry.items():
        if key not in sources or not isinstance(stated, Mapping):
            raise XPTError(f"{file.name}: {name}: {key} is no source; facts stand under the source of theirs")
        for field, value in stated.items():
            if field not in FIELDS:
                raise XPTError(f"{file.name}: {name}: {field} is none of {', '.join(FIELDS)}")
            values = value if field == "defects" else [_count(value) if field in COUNTS else value]
            facts.setdefault(field, []).extend(Fact(one, sources[key]) for one in values)
    return Model(name, {field: tuple(facts[field]) for field in FIELDS if field in facts})


def _count(value: Any) -> int | str:
    """`110M` as a number; a word stays."""
    matched = _COUNT.fullmatch(str(value))
    return round(float(matched[1]) * _UNITS[matched[2]]) if matched else str(value)


def read_count(text: str) -> int:
    """`110M`, `1.3B` or digits. Raises `ValueError` for anything else."""
    count = _count(text)
    if isinstance(count, str):
        raise ValueError(text)
    return count
