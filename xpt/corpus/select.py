"""Which split a sentence is in, and which sentences stay: arithmetic on hashes, 8 bytes a sentence."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from xpt.corpus.settings import SPLIT_NAMES, TEST_SHARE, VALIDATION_SHARE

TRAIN, VALIDATION, TEST = range(3)
DROPPED = 3
_TEST_END = int(TEST_SHARE * 2**64)
_VALIDATION_END = int((TEST_SHARE + VALIDATION_SHARE) * 2**64)
# Hashes are compared within buckets of their upper bits, so that sorting needs room for one bucket only.
_BUCKETS = 64


def split_hash(split_seed: int) -> "hashlib.blake2b":
    """A fresh 64-bit hash: equal text and seed give an equal number on every machine."""
    return hashlib.blake2b(digest_size=8, key=b"xpt split %d" % split_seed)


def split_codes(hashes: np.ndarray) -> np.ndarray:
    """The split of each hash: shape as `hashes` (uint64), uint8 codes TRAIN, VALIDATION or TEST."""
    codes = np.full(len(hashes), TRAIN, dtype=np.uint8)
    codes[hashes < np.uint64(_VALIDATION_END)] = VALIDATION
    codes[hashes < np.uint64(_TEST_END)] = TEST
    return codes


def drop_duplicates(hashes: np.ndarray, codes: np.ndarray) -> tuple[int, int]:
    """Keep each sentence once, in `codes` (changed in place; DROPPED for the others).

    A sentence in several splits (possible where documents decide) stays in training, or else in validation,
    so that nothing held out was seen before; inside a split the first occurrence stays. Returns how many were
    dropped as repetitions, and how many from held-out splits because they also stand in an earlier split.
    """
    duplicates = leaked = 0
    upper = (hashes >> np.uint64(58)).astype(np.uint8)
    for bucket in range(_BUCKETS):
        index = np.flatnonzero(upper == bucket)
        index = index[np.lexsort((codes[index], hashes[index]))]  # stable: corpus order inside equal keys
        of_hash, of_code = hashes[index], codes[index]
        repeats = np.concatenate([np.zeros(min(1, len(index)), bool), of_hash[1:] == of_hash[:-1]])
        first = np.maximum.accumulate(np.where(repeats, 0, np.arange(len(index))))
        elsewhere = repeats & (of_code != of_code[first])
        leaked += int(elsewhere.sum())
        duplicates += int(repeats.sum() - elsewhere.sum())
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
    """`codes` (uint8, one a sentence in corpus order), and what was dropped on the way."""

    codes: np.ndarray
    duplicates: int
    leaked: int
    available: dict[str, int] = field(default_factory=dict)


def select(
    hashes: np.ndarray,
    document_keys: Callable[[], np.ndarray] | None,
    limits: dict[str, int | None],
    thin: Callable[[np.ndarray], None] = lambda codes: None,
) -> Selection:
    """Decide for every sentence; `document_keys` gives each one's document hash, where documents decide.

    `thin` drops more of what stands once, in the codes it is given, before the limits count.
    """
    keys = hashes if document_keys is None else document_keys()
    codes = split_codes(keys)
    duplicates, leaked = drop_duplicates(hashes, codes)
    thin(codes)
    selection = Selection(codes, duplicates, leaked)
    for split, name in enumerate(SPLIT_NAMES):
        selection.available[name] = int(np.count_nonzero(codes == split))
        limit = limits[name]
        if limit is not None:
            keep_lowest(keys, codes, split, limit)
    return selection
