"""The two passes over the text: everything is streamed to disk, 12 bytes a sentence of numbers beside it.

The first pass writes every clean sentence with its hash and length; the second copies those that stay into
their splits.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xpt.text.arrays import ArrayWriter
from xpt.text.corpus.select import split_hash
from xpt.text.corpus.sentences import Tally
from xpt.text.corpus.settings import SPLIT_NAMES
from xpt.text.corpus.store import offsets_file, text_file
from xpt.text.corpus.workers import CleanChunk

HASH = np.dtype("<u8")
_BUFFERED = 1 << 12


class RawFiles:
    """What the first pass leaves for the second, in the staging folder."""

    def __init__(self, folder: Path):
        self.text = folder / "raw.txt"
        self.hashes = folder / "raw.hashes"  # HASH, one a sentence
        self.lengths = folder / "raw.lengths"  # uint32, bytes of each line with its end
        self.document_hashes = folder / "raw.document_hashes"  # HASH, one a document that has a sentence
        self.document_sizes = folder / "raw.document_sizes"  # uint32, sentences of each such document

    def document_keys(self) -> np.ndarray:
        """For each sentence the hash of its document, uint64."""
        return np.repeat(np.fromfile(self.document_hashes, HASH), np.fromfile(self.document_sizes, np.uint32))

    def remove(self) -> None:
        """Delete the files."""
        for path in vars(self).values():
            path.unlink()


def write_raw(chunks: Iterable[CleanChunk], split_seed: int, raw: RawFiles, tallies: list[Tally]) -> int:
    """Stream the sentences of all documents to the raw files; the count of documents that have one.

    What the chunks tallied is added to `tallies`, one for each entry of `corpus`.
    """
    count = 0
    with ExitStack() as stack:
        text, hashes, lengths, document_hashes, document_sizes = (
            stack.enter_context(open(path, "wb")) for path in vars(raw).values()
        )
        whole, size = split_hash(split_seed), 0
        for chunk in chunks:
            text.write(chunk.text)
            hashes.write(chunk.hashes)
            lengths.write(chunk.lengths.tobytes())
            for tally, more in zip(tallies, chunk.tallies, strict=True):
                tally.add(more)
            ends = np.concatenate([[0], np.cumsum(chunk.lengths, dtype=np.int64)]).tolist()
            content, done = memoryview(chunk.text), 0
            for sentences, continued in chunk.documents:
                whole.update(content[ends[done] : ends[done + sentences]])
                done += sentences
                size += sentences
                if size and not continued:
                    document_hashes.write(whole.digest())
                    document_sizes.write(np.uint32(size).tobytes())
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
