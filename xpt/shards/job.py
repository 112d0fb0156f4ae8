"""A preparation of shards: what is read, where it goes, and what its stages leave for each other."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpt.corpus.inputs import Source
from xpt.corpus.sentences import Tally
from xpt.corpus.settings import CorpusSettings

# A sentence's place in the corpus is (number of its file << 40) + its number in the file.
FILE_SHIFT = 40


@dataclass(frozen=True)
class TokenizerChoice:
    """A ready tokenizer, or how one is trained."""

    name: str | None
    vocab_size: int
    model_type: str
    sentences: int | None  # training sentences that it is made from; None for all
    characters: dict[str, Any]  # which ones it must spell, as `train_tokenizer` takes them


@dataclass(frozen=True)
class Job:
    """What every task of a preparation knows."""

    settings: CorpusSettings
    inputs: tuple[tuple[Source, ...], ...]  # of each entry of the corpus
    passed_over: tuple[Counter[str], ...]  # files of each entry that are not read, by kind
    tokenizer: TokenizerChoice
    work: Path  # seen by all machines; removed in the end
    output: Path
    partitions: int
    shard_sentences: int  # at most, in one shard

    @property
    def sources(self) -> list[Source]:
        """All files and data sets, in corpus order."""
        return [source for sources in self.inputs for source in sources]

    @property
    def entry_ends(self) -> np.ndarray:
        """The number of the first file behind each entry, (entries,)."""
        return np.cumsum([len(sources) for sources in self.inputs])

    def bounds(self, order: np.ndarray) -> np.ndarray:
        """Where each entry begins among sentences of ascending places, and the end of the last."""
        firsts = np.concatenate(([0], self.entry_ends)).astype(np.uint64) << np.uint64(FILE_SHIFT)
        return np.searchsorted(order, firsts)

    def file(self, stage: str, name: str) -> Path:
        """A file that a stage leaves; its folder is made."""
        folder = self.work / stage
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name


@dataclass(frozen=True)
class Stage:
    """`work(task, tasks)` for each task, which may run again; it begins when the stage before has ended."""

    name: str
    work: Callable[[int, int], None]
    tasks: int


def write_json(path: Path, value: Any) -> None:
    """A small file that appears whole."""
    staging = path.with_name(f".{path.name}.part")
    staging.write_text(json.dumps(value), encoding="utf-8")
    staging.replace(path)


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def tally_json(tally: Tally) -> dict[str, Any]:
    """A tally in JSON's types."""
    return {
        "lines": tally.lines,
        "sentences": tally.sentences,
        "dropped": dict(tally.dropped),
        "foreign": dict(tally.foreign),
        "remarks": tally.remarks,
    }


def add_tally(total: Tally, part: dict[str, Any]) -> None:
    """Add what `tally_json` made of another one."""
    total.lines += part["lines"]
    total.sentences += part["sentences"]
    total.dropped.update(part["dropped"])
    total.foreign.update(part["foreign"])
    total.remarks += part["remarks"]


def count_letters(lines: list[bytes]) -> Counter[str]:
    """How often each character stands in UTF-8 lines."""
    codes = np.frombuffer(b"".join(lines).decode("utf-8").encode("utf-32-le"), np.uint32)
    values, counts = np.unique(codes, return_counts=True)
    return Counter({chr(value): count for value, count in zip(values.tolist(), counts.tolist(), strict=True)})
