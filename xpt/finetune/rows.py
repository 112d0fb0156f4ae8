"""The order in which examples are read: a function of seed and place alone, whatever was interrupted.

Training reads epochs one after the other without a gap, each in an order of its own. With length grouping,
the examples of `BLOCK` batches are sorted by length and cut into batches again, and these are shuffled: each
still comes once an epoch, beside others of its length.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from torch.utils.data import Dataset

from xpt.finetune.task import Feature

BLOCK = 16  # batches that are sorted together: enough that a batch's lengths are close, few enough to mix


class ShuffledRows(Dataset):
    """`count` features out of as many epochs as that takes.

    Args:
        features: what one epoch reads.
        count: rows in all: steps times batch.
        batch: rows that belong together, of one optimizer step; lengths are close within.
        seed: of the orders.
        length_grouping: whether rows of similar length share a batch.
    """

    def __init__(
        self, features: Sequence[Feature], count: int, batch: int, seed: int, length_grouping: bool
    ) -> None:
        self.features, self.count, self.batch, self.seed = features, count, batch, seed
        self.lengths = np.array([max(feature.lengths) for feature in features])
        self.length_grouping = length_grouping
        self._epoch = lru_cache(maxsize=2)(self._shuffled_epoch)
        self._block = lru_cache(maxsize=2)(self._grouped_block)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Feature:
        return self.features[self.index(row)]

    def index(self, row: int) -> int:
        """Which feature a row is."""
        if not 0 <= row < self.count:
            raise IndexError(row)
        if not self.length_grouping:
            return int(self._epoch(row // len(self.features))[row % len(self.features)])
        size = BLOCK * self.batch
        return int(self._block(row // size)[row % size])

    def tokens(self, first: int, last: int) -> int:
        """Real tokens of rows `first` to `last` - 1."""
        return sum(sum(self[row].lengths) for row in range(first, min(last, self.count)))

    def _shuffled_epoch(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.features))

    def _grouped_block(self, block: int) -> np.ndarray:
        size, count = BLOCK * self.batch, len(self.features)
        rows = np.arange(block * size, min((block + 1) * size, self.count))
        chosen = np.array([self._epoch(row // count)[row % count] for row in rows])
        chosen = chosen[np.argsort(self.lengths[chosen], kind="stable")]
        batches = [chosen[start : start + self.batch] for start in range(0, len(chosen), self.batch)]
        order = np.random.default_rng((self.seed, 1, block)).permutation(len(batches))
        return np.concatenate([batches[index] for index in order])
