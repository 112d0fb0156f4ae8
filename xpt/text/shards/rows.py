"""Row k of training on shards, found without what comes before it.

Each epoch shuffles the shards and reads a group of them at a time. A shard's sentences are packed among
themselves, drawn anew each epoch, and the rows of a group are shuffled together. How many rows a shard gives
does not depend on the draw (`best_fit`), so every epoch has the same number of rows.
"""

from typing import Protocol

import numpy as np

from xpt.text.examples import Examples, ExampleSet
from xpt.text.packing import EpochPlan, Row
from xpt.text.shards.best_fit import count_rows, pack_rows
from xpt.text.shards.index import Shard
from xpt.text.shards.store import ShardStore

SHARDS_AT_ONCE = 8  # shuffled together
# Of the cache: a batch may span two groups, the next one is fetched meanwhile, and processes are not in step.
GROUPS_KEPT = 3
_SHARDS, _ROWS, _SENTENCES = range(3)  # what is drawn


class _Group:
    """Shards that are read together: which row of which shard each of the group's rows is."""

    def __init__(self, shards: np.ndarray, sizes: np.ndarray, random: np.random.Generator):
        self.shards = shards
        self._order = random.permutation(int(sizes.sum()))
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self.plans: dict[int, EpochPlan] = {}

    def place(self, row: int) -> tuple[int, int]:
        """The shard of a row, and its number there."""
        drawn = self._order[row]
        position = int(np.searchsorted(self._ends, drawn, side="right"))
        return int(self.shards[position]), int(drawn - self._starts[position])


class ExamplesOfShards(ExampleSet, Protocol):
    """Examples that lie in shards, those of one behind those of the one before."""

    store: ShardStore
    shards: tuple[Shard, ...]
    histograms: list[tuple[np.ndarray, np.ndarray]]  # of each shard: lengths of its examples, their counts
    first_example: np.ndarray  # of each shard, and the end of the last

    def of_shard(self, shard: int) -> Examples:
        """The examples of one shard, counted from 0."""


class ShardedRows:
    """A `RowSource` on shards; every sentence stands once in each epoch.

    Args:
        examples: of all shards.
        packing: several sentences share a row; else each has its own.
        seed: of every draw.
    """

    def __init__(self, examples: ExamplesOfShards, packing: bool, seed: int):
        self.examples, self.packing, self.seed = examples, packing, seed
        capacity = examples.max_seq_length
        self._sizes = np.asarray(
            [
                count_rows(lengths, counts, capacity) if packing else int(counts.sum())
                for lengths, counts in examples.histograms
            ],
            np.int64,
        )
        examples.store.require_room(examples.shards, GROUPS_KEPT * SHARDS_AT_ONCE)
        self.rows_in_epoch = int(self._sizes.sum())
        self._tokens = np.asarray([int(lengths @ counts) for lengths, counts in examples.histograms])
        self.tokens_in_epoch = int(self._tokens.sum())
        self._orders: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # of shards, and where groups end
        self._groups: dict[int, _Group] = {}  # by first row

    def __getitem__(self, index: int) -> Row:
        shards, first, end = self._span(index)
        epoch = index // self.rows_in_epoch
        group = self._group(epoch, first, end, shards)
        shard, row_of_shard = group.place(index - first)
        if shard not in group.plans:
            group.plans[shard] = self._plan(epoch, shard)
        return Row(epoch, self.examples.first_example[shard] + group.plans[shard].row(row_of_shard))

    def tokens(self, start: int, stop: int) -> int:
        total = 0
        while start < stop:
            shards, first, end = self._span(start)
            if start == first and end <= stop:  # a whole group: nothing has to be read
                total += int(self._tokens[shards].sum())
            else:
                rows = range(start, min(end, stop))
                total += sum(int(self.examples.lengths_of(self[row].examples).sum()) for row in rows)
            start = end
        return total

    def _span(self, index: int) -> tuple[np.ndarray, int, int]:
        """The shards of the group that row `index` is in, its first row, and the one behind its last."""
        epoch, row = divmod(index, self.rows_in_epoch)
        order, ends = self._order(epoch)
        number = int(np.searchsorted(ends, row, side="right"))
        before = epoch * self.rows_in_epoch
        first = before + (int(ends[number - 1]) if number else 0)
        start = number * SHARDS_AT_ONCE
        return order[start : start + SHARDS_AT_ONCE], first, before + int(ends[number])

    def _random(self, epoch: int, what: int, number: int = 0) -> np.random.Generator:
        """A stream of random numbers of its own for each thing that is drawn."""
        return np.random.Generator(np.random.Philox(key=[self.seed, epoch], counter=[0, 0, what, number]))

    def _order(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        if epoch not in self._orders:
            order = self._random(epoch, _SHARDS).permutation(len(self._sizes))
            last = np.append(np.arange(SHARDS_AT_ONCE, len(order), SHARDS_AT_ONCE), len(order)) - 1
            self._orders = {known: self._orders[known] for known in self._orders if known == epoch - 1}
            self._orders[epoch] = order, np.cumsum(self._sizes[order])[last]
        return self._orders[epoch]

    def _group(self, epoch: int, first: int, end: int, shards: np.ndarray) -> _Group:
        """The group of rows first..end-1; where it is new, the next one is fetched beside."""
        if first not in self._groups:
            while len(self._groups) > 1:  # a batch may span two groups
                del self._groups[next(iter(self._groups))]
            random = self._random(epoch, _ROWS, first % self.rows_in_epoch)
            self._groups[first] = _Group(shards, self._sizes[shards], random)
            stored, following = self.examples.shards, self._span(end)[0]
            self.examples.store.prefetch([stored[shard] for shard in (*shards, *following)])
        return self._groups[first]

    def _plan(self, epoch: int, shard: int) -> EpochPlan:
        lengths, random = self.examples.of_shard(shard).lengths, self._random(epoch, _SENTENCES, shard)
        if self.packing:
            return pack_rows(lengths, self.examples.max_seq_length, random)
        return EpochPlan(random.permutation(len(lengths)), np.arange(len(lengths) + 1))
