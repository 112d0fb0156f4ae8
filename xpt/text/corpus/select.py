"""Which split a sentence is in, and which sentences stay: arithmetic on hashes, 8 bytes a sentence.

The sentences of each entry of `corpus` stand together, in the order of the entries.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np

from xpt.text.corpus.mixture import wanted_of_entries
from xpt.text.corpus.settings import SPLIT_NAMES, TEST_SHARE, VALIDATION_SHARE

TRAIN, VALIDATION, TEST = range(3)
DROPPED = 3
_TEST_END = int(TEST_SHARE * 2**64)
_VALIDATION_END = int((TEST_SHARE + VALIDATION_SHARE) * 2**64)
# Hashes are compared within buckets of their upper bits, so that sorting needs space for one bucket only.
_BUCKETS = 64


def split_hash(split_seed: int) -> "hashlib.blake2b":
    """A fresh 64-bit hash: equal text and seed give an equal number on every machine."""
    return hashlib.blake2b(digest_size=8, key=b"xpt split %d" % split_seed)


def line_digest(line: bytes, split_seed: int) -> bytes:
    """The hash of a sentence, 8 bytes, little-endian: it decides about its split and which ones are equal."""
    one = split_hash(split_seed)
    one.update(line)
    return one.digest()


def split_codes(hashes: np.ndarray) -> np.ndarray:
    """The split of each hash: shape as `hashes` (uint64), uint8 codes TRAIN, VALIDATION or TEST."""
    codes = np.full(len(hashes), TRAIN, dtype=np.uint8)
    codes[hashes < np.uint64(_VALIDATION_END)] = VALIDATION
    codes[hashes < np.uint64(_TEST_END)] = TEST
    return codes


def drop_duplicates(
    hashes: np.ndarray, codes: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Keep each sentence once, in `codes` (changed in place; DROPPED for the others).

    A sentence in several splits (possible where documents decide) stays in training, or else in validation,
    so that nothing held out was seen before; inside a split the first occurrence stays. Returns for each
    entry (`bounds`: where it begins, and the end of the last) how many were dropped as repetitions, and how
    many from held-out splits because they also stand in an earlier split.
    """
    duplicates, leaked = (np.zeros(len(bounds) - 1, np.int64) for _ in range(2))
    upper = (hashes >> np.uint64(58)).astype(np.uint8)
    for bucket in range(_BUCKETS):
        index = np.flatnonzero(upper == bucket)
        index = index[np.lexsort((codes[index], hashes[index]))]  # stable: corpus order inside equal keys
        of_hash, of_code = hashes[index], codes[index]
        repeats = np.concatenate([np.zeros(min(1, len(index)), bool), of_hash[1:] == of_hash[:-1]])
        first = np.maximum.accumulate(np.where(repeats, 0, np.arange(len(index))))
        elsewhere = repeats & (of_code != of_code[first])
        leaked += np.histogram(index[elsewhere], bounds)[0]
        duplicates += np.histogram(index[repeats & ~elsewhere], bounds)[0]
        codes[index[repeats]] = DROPPED
    return duplicates, leaked


def keep_lowest(keys: np.ndarray, codes: np.ndarray, split: int, limit: int) -> None:
    """Drop all but the `limit` sentences of `split` with the lowest keys, in `codes` (changed in place).

    Keys are sentence hashes, or each sentence's document hash: then documents are taken whole, in the order
    of their hashes, and the last one up to the limit.
    """
    members = codes == split
    if np.count_nonzero(members) <= limit:
        return
    if limit == 0:
        codes[members] = DROPPED
        return
    chosen = keys[members]
    chosen.partition(limit - 1)
    threshold = chosen[limit - 1]
    below = int(np.count_nonzero(chosen < threshold))
    del chosen
    codes[members & (keys > threshold)] = DROPPED
    at_threshold = np.flatnonzero(members & (keys == threshold))
    codes[at_threshold[limit - below :]] = DROPPED


@dataclass
class Selection:
    """`codes` (uint8, one a sentence in corpus order), and what that means for each entry."""

    codes: np.ndarray
    bounds: np.ndarray  # where each entry begins, and the end of the last
    duplicates: np.ndarray
    leaked: np.ndarray
    near_duplicates: np.ndarray
    available: dict[str, list[int]] = field(default_factory=dict)  # by split
    wanted: list[int] | None = None  # training sentences; None where no shares are given

    def kept(self, name: str) -> list[int]:
        """How many sentences of each entry are in a split."""
        split = SPLIT_NAMES.index(name)
        return [int(np.count_nonzero(self.codes[start:end] == split)) for start, end in pairwise(self.bounds)]


def select(
    hashes: np.ndarray,
    document_keys: Callable[[], np.ndarray] | None,
    limits: dict[str, int | None],
    sizes: Sequence[int] | None = None,
    shares: Sequence[Fraction] | None = None,
    thin: Callable[[np.ndarray], None] = lambda codes: None,
) -> Selection:
    """Decide for every sentence; `document_keys` gives each one's document hash, where documents decide.

    `sizes` are the sentences of each entry (default: there is one), `shares` what each gives of the training
    split. Held-out splits do not follow the shares: they are the same for every mixture. `thin` drops more
    of what stands once, in the codes it is given, before shares and limits count.
    """
    keys = hashes if document_keys is None else document_keys()
    codes = split_codes(keys)
    bounds = np.cumsum([0, *(sizes or [len(hashes)])])
    duplicates, leaked = drop_duplicates(hashes, codes, bounds)
    before = codes.copy()
    thin(codes)
    near = np.histogram(np.flatnonzero(before != codes), bounds)[0]
    selection = Selection(codes, bounds, duplicates, leaked, near)
    entries = [slice(start, end) for start, end in pairwise(bounds)]
    for split, name in enumerate(SPLIT_NAMES):
        selection.available[name] = [int(np.count_nonzero(codes[entry] == split)) for entry in entries]
        limit = limits[name]
        if split == TRAIN and shares is not None:
            selection.wanted = wanted_of_entries(selection.available[name], shares, limit)
            for entry, wanted in zip(entries, selection.wanted, strict=True):
                keep_lowest(keys[entry], codes[entry], TRAIN, wanted)
        elif limit is not None:
            keep_lowest(keys, codes, split, limit)
    return selection
