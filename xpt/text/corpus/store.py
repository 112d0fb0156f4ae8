"""A built corpus on disk, read lazily: one text file a split, with the place of each sentence beside it."""

import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from xpt.program.errors import XPTError
from xpt.text.corpus.settings import SPLIT_NAMES

REPORT_FILE = "corpus.json"


def text_file(folder: Path, split: str) -> Path:
    """UTF-8, one sentence a line, corpus order."""
    return folder / f"{split}.txt"


def offsets_file(folder: Path, split: str) -> Path:
    """int64, shape (sentences + 1,): where each line begins, and the end of the last."""
    return folder / f"{split}.offsets.npy"


def write_report(folder: Path, fingerprint: str, report: dict[str, Any]) -> None:
    """Finish a corpus in `folder`: what it is, and how large its files are."""
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    stored = {"fingerprint": fingerprint, "report": report, "bytes": sizes}
    text = json.dumps(stored, ensure_ascii=False, indent=2) + "\n"
    (folder / REPORT_FILE).write_text(text, encoding="utf-8")


class Sentences(Sequence[str]):
    """The sentences of one split. Nothing is held in memory; pickled, it is its path."""

    def __init__(self, folder: Path, split: str):
        self._folder, self._split = folder, split
        self._offsets = np.load(offsets_file(folder, split), mmap_mode="r")
        with open(text_file(folder, split), "rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(self) else b""

    def __reduce__(self) -> tuple:
        return Sentences, (self._folder, self._split)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"sentence {index} of {len(self)}")
        return self._text[self._offsets[index] : self._offsets[index + 1] - 1].decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        with open(text_file(self._folder, self._split), encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line[:-1]


class Corpus:
    """Three splits of clean sentences, their content's fingerprint and the report of how they came to be."""

    def __init__(self, folder: Path):
        self.folder = folder
        stored: dict[str, Any] = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
        self.fingerprint: str = stored["fingerprint"]
        self.report: dict[str, Any] = stored["report"]

    def split(self, name: str) -> Sentences:
        """The sentences of "train", "validation" or "test", in corpus order. Raises XPTError otherwise."""
        if name not in SPLIT_NAMES:
            raise XPTError(f"a corpus has no split {name}: use {', '.join(SPLIT_NAMES)}")
        return Sentences(self.folder, name)

    def text_hash(self, name: str) -> str:
        """SHA-256 of a split's text file: what is made of this split alone depends on nothing else."""
        return self.report["splits"][name]["sha256"]
