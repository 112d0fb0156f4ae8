"""The two passes over the text: everything is streamed to disk, 12 bytes a sentence of numbers beside it.

The first pass writes every clean sentence with its hash and length; the second copies those that stay into
their splits.
"""

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xpt.arrays import ArrayWriter
from xpt.corpus.readers import Document
from xpt.corpus.select import split_hash
from xpt.corpus.settings import SPLIT_NAMES
from xpt.corpus.store import offsets_file, text_file

_BUFFERED = 1 << 12


class RawFiles:
    """What the first pass leaves for the second, in the staging folder."""

    def __init__(self, folder: Path):
        self.text = folder / "raw.txt"
        self.hashes = folder / "raw.hashes"  # uint64, one a sentence
        self.lengths = folder / "raw.lengths"  # uint32, bytes of each line with its end
        self.document_hashes = folder / "raw.document_hashes"  # uint64, one a document that has a sentence
        self.document_sizes = folder / "raw.document_sizes"  # uint32, sentences of each such document

    def document_keys(self) -> np.ndarray:
        """For each sentence the hash of its document, uint64."""
        return np.repeat(
            np.fromfile(self.document_hashes, np.uint64), np.fromfile(self.document_sizes, np.uint32)
        )

    def remove(self) -> None:
        """Delete the files."""
        for path in vars(self).values():
            path.unlink()


class _NumberFile:
    """Numbers appended to a file, a few at a time in memory."""

    def __init__(self, path: Path, code: str):
        self._file = open(path, "wb")  # noqa: SIM115 - a context manager itself
        self._numbers, self._code = array(code), code

    def append(self, number: int) -> None:
        self._numbers.append(number)
        if len(self._numbers) == _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        self._numbers.tofile(self._file)
        self._numbers = array(self._code)

    def __enter__(self) -> "_NumberFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self._flush()
        self._file.close()


def write_raw(
    documents: Iterable[Document],
    sentences_of: Callable[[Document], list[str]],
    split_seed: int,
    raw: RawFiles,
) -> int:
    """Stream the sentences of all documents to the raw files; the count of documents that have one."""
    count = 0
    with (
        open(raw.text, "wb") as text,
        _NumberFile(raw.hashes, "Q") as hashes,
        _NumberFile(raw.lengths, "I") as lengths,
        _NumberFile(raw.document_hashes, "Q") as document_hashes,
        _NumberFile(raw.document_sizes, "I") as document_sizes,
    ):
        whole, size = split_hash(split_seed), 0
        for document in documents:
            for sentence in sentences_of(document):
                line = sentence.encode("utf-8")
                one = split_hash(split_seed)
                one.update(line)
                hashes.append(int.from_bytes(one.digest(), "little"))
                line += b"\n"
                whole.update(line)
                lengths.append(len(line))
                text.write(line)
                size += 1
            if size and not document.continued:
                document_hashes.append(int.from_bytes(whole.digest(), "little"))
                document_sizes.append(size)
                count += 1
                whole, size = split_hash(split_seed), 0
    return count


@dataclass
class WrittenSplit:
    """What a split's text file holds."""

    sentences: int
    characters: int
    sha256: str


def write_splits(codes: np.ndarray, raw: RawFiles, folder: Path, progress: bool) -> dict[str, WrittenSplit]:
    """Copy each kept sentence into the text file of its split (`codes`, uint8); write where each begins."""
    digests = [hashlib.sha256() for _ in SPLIT_NAMES]
    characters = [0 for _ in SPLIT_NAMES]
    files: list[Any] = [open(text_file(folder, name), "wb") for name in SPLIT_NAMES]  # noqa: SIM115
    bar = tqdm(
        total=len(codes),
        desc="Writing the splits",
        unit=" sentences",
        unit_scale=True,
        disable=None if progress else True,
    )
    try:
        with bar:
            for lines, part in _chunks(raw.text, codes):
                for split, file in enumerate(files):
                    block = b"".join([line for line, code in zip(lines, part, strict=True) if code == split])
                    file.write(block)
                    digests[split].update(block)
                    characters[split] += len(block.decode("utf-8"))
                bar.update(len(lines))
    finally:
        for file in files:
            file.close()
    written = {}
    for split, name in enumerate(SPLIT_NAMES):
        count = _write_offsets(codes == split, raw, offsets_file(folder, name))
        # Line ends are no characters of the text.
        written[name] = WrittenSplit(count, characters[split] - count, digests[split].hexdigest())
    return written


def _chunks(text: Path, codes: np.ndarray) -> Iterator[tuple[list[bytes], bytes]]:
    with open(text, "rb") as file:
        for start in range(0, len(codes), _BUFFERED):
            part = codes[start : start + _BUFFERED].tobytes()
            yield [file.readline() for _ in part], part


def _write_offsets(members: np.ndarray, raw: RawFiles, path: Path) -> int:
    """Write the offsets of the lines of `members` (bool, one a sentence) to `path`. Returns their count."""
    count, end = int(np.count_nonzero(members)), 0
    with open(raw.lengths, "rb") as file, ArrayWriter(path, np.int64) as offsets:
        offsets.append(np.zeros(1))
        for start in range(0, len(members), _BUFFERED):
            lengths = np.fromfile(file, np.uint32, _BUFFERED)[members[start : start + _BUFFERED]]
            offsets.append(end + np.cumsum(lengths, dtype=np.int64))
            end += int(lengths.sum(dtype=np.int64))
    return count
