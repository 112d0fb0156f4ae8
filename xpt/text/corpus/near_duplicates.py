"""Near-duplicates: of sentences that share most of their characters' trigrams only the first stays.

MinHash (datasketch) and locality-sensitive hashing find pairs that may be near; the trigrams of both decide.
Sentences are compared in order of split (training first) and corpus, each with those that stayed, so the
result is a function of the text alone. The bands lie on disk; in memory stand a few numbers a sentence, and
more for those that share a band with another.
"""

import mmap
import tempfile
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from datasketch import MinHash
from tqdm import tqdm

from xpt.text.corpus.settings import SPLIT_NAMES

_SHINGLE = 3  # characters: one changed character in a sentence of 50 leaves a similarity of 0.88
_PERMUTATIONS = 128
_SEED = 1
_RECALL = 0.99  # of pairs exactly at the threshold; more similar ones are found more surely
_AT_ONCE = 1 << 12  # sentences
# Sentences of one template can fill a bucket without being near: comparing each with all takes forever.
_COMPARED = 100
_CACHED = 1 << 15  # sentences
_EXAMPLES = 5


@dataclass
class NearDuplicates:
    """Drops near-duplicates of a similarity of `threshold` or more, and keeps account of it by split.

    `dropped` counts those near a sentence of the same split, `leaked` those near one of an earlier split.
    """

    threshold: float
    dropped: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def drop(self, codes: np.ndarray, text: Path, lengths: np.ndarray, progress: bool) -> None:
        """Drop all but one of sentences near each other, in `codes` (uint8 splits, changed in place).

        `text` holds a sentence a line, `lengths` (uint32) the bytes of each line with its end. Of sentences
        in several splits the one in the earliest stays: nothing held out is near what is trained on.
        """
        members = np.flatnonzero(codes < len(SPLIT_NAMES))
        if not len(members):
            return
        with _Lines(text, lengths) as lines:
            with tempfile.TemporaryFile(dir=text.parent) as disk:
                buckets = _shared_buckets(
                    _write_bands(disk, members, lines, self.threshold, progress), members
                )
            order = np.array(sorted(buckets), dtype=np.int64)
            self._compare(order[np.lexsort((order, codes[order]))], buckets, codes, lines)

    def _compare(
        self, order: np.ndarray, buckets: dict[int, list[int]], codes: np.ndarray, lines: "_Lines"
    ) -> None:
        kept: dict[int, list[int]] = defaultdict(list)  # by bucket, the sentences that stayed
        for index in order.tolist():
            near = self._near(index, buckets[index], kept, lines)
            if near is None:
                for bucket in buckets[index]:
                    kept[bucket].append(index)
                continue
            other, alike = near
            name = SPLIT_NAMES[codes[index]]
            (self.dropped if codes[other] == codes[index] else self.leaked)[name] += 1
            if len(self.examples) < _EXAMPLES:
                pair = {"dropped": lines.sentence(index), "kept": lines.sentence(other)}
                self.examples.append({"split": name, **pair, "similarity": round(alike, 3)})
            codes[index] = len(SPLIT_NAMES)

    def _near(
        self, index: int, buckets: list[int], kept: dict[int, list[int]], lines: "_Lines"
    ) -> tuple[int, float] | None:
        """The first kept sentence of the same buckets that is near, and how near."""
        compared: set[int] = set()
        for bucket in buckets:
            for other in kept[bucket][-_COMPARED:]:
                if other not in compared:
                    compared.add(other)
                    alike = similarity(lines.shingles(index), lines.shingles(other))
                    if alike >= self.threshold:
                        return other, alike
        return None

    def report(self) -> dict[str, Any]:
        """For the corpus report, in JSON types."""
        return {
            "threshold": self.threshold,
            "dropped": {name: self.dropped[name] for name in SPLIT_NAMES},
            "near_an_earlier_split": {name: self.leaked[name] for name in SPLIT_NAMES[1:]},
            "examples": self.examples,
        }


class _Lines:
    """The lines of a file by their number; those read last are kept as shingles."""

    def __init__(self, text: Path, lengths: np.ndarray):
        self._ends = np.cumsum(lengths, dtype=np.int64)
        self._lengths = lengths
        with open(text, "rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.shingles = lru_cache(maxsize=_CACHED)(lambda index: shingles(self.sentence(index)))

    def sentence(self, index: int) -> str:
        end = int(self._ends[index])
        return self._text[end - int(self._lengths[index]) : end - 1].decode("utf-8")

    def __enter__(self) -> "_Lines":
        return self

    def __exit__(self, *exception: object) -> None:
        self._text.close()


def similarity(first: frozenset[str], second: frozenset[str]) -> float:
    """The Jaccard index of two sets of shingles."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def shingles(sentence: str) -> frozenset[str]:
    """The character trigrams of a sentence; itself, if it is shorter."""
    return frozenset(
        sentence[start : start + _SHINGLE] for start in range(max(1, len(sentence) - _SHINGLE + 1))
    )


def band_shape(threshold: float) -> tuple[int, int]:
    """Bands and rows: as many rows as leave pairs at the threshold found with a probability of _RECALL."""
    for rows in range(_PERMUTATIONS, 0, -1):
        bands = _PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** bands >= _RECALL:
            return bands, rows
    return _PERMUTATIONS, 1


def _write_bands(
    disk: Any, members: np.ndarray, lines: _Lines, threshold: float, progress: bool
) -> np.ndarray:
    """Hash each member's signature by bands into a file, uint64, (bands, members)."""
    count, rows = band_shape(threshold)
    bands = np.memmap(disk, np.uint64, "w+", shape=(count, len(members)))
    bar = tqdm(total=len(members), desc="Finding near-duplicates", unit=" sentences", disable=not progress)
    with bar:
        for start in range(0, len(members), _AT_ONCE):
            part = members[start : start + _AT_ONCE]
            signatures = _signatures(
                [lines.sentence(index) for index in part.tolist()]
            )  # (sentences, permutations)
            bands[:, start : start + len(part)] = _hash_bands(signatures, count, rows)
            bar.update(len(part))
    return bands


def _signatures(sentences: list[str]) -> np.ndarray:
    """MinHash signatures, uint32, (sentences, permutations)."""
    encoded = ([shingle.encode("utf-8") for shingle in shingles(line)] for line in sentences)
    minhashes = MinHash.generator(
        encoded, num_perm=_PERMUTATIONS, seed=_SEED, scheme="affine32", hashfunc=zlib.crc32
    )
    return np.stack([minhash.hashvalues for minhash in minhashes])


def _hash_bands(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """A 64-bit number for each band of each signature: equal rows give equal numbers. (bands, sentences)"""
    parts = signatures[:, : bands * rows].reshape(len(signatures), bands, rows).astype(np.uint64)
    keys = np.zeros(parts.shape[:2], np.uint64)
    for row in range(rows):  # a polynomial in an odd constant, modulo 2^64
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + parts[:, :, row]
        keys ^= keys >> np.uint64(29)
    return keys.T


def _shared_buckets(bands: np.ndarray, members: np.ndarray) -> dict[int, list[int]]:
    """For each sentence that shares a band with another: the numbers of its shared buckets."""
    buckets: dict[int, list[int]] = defaultdict(list)
    number = 0
    for keys in bands:
        keys = np.array(keys)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        repeats = keys[1:] == keys[:-1]
        shared = np.concatenate([repeats, [False]]) | np.concatenate([[False], repeats])
        begins = shared & np.concatenate([[True], ~repeats])
        numbers = number + np.cumsum(begins)
        for place, bucket in zip(order[shared].tolist(), numbers[shared].tolist(), strict=True):
            buckets[int(members[place])].append(bucket)
        number = int(numbers[-1])
    return buckets
