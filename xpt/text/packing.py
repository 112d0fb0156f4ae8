"""Which examples stand in row k of training, over all epochs: a pure function of the seed.

A run resumed at row k therefore reads what an undisturbed run reads, whatever the number of workers,
processes or accumulation steps.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

PACKING_WINDOW = (
    4096  # shuffled sentences packed together: < 2 % of the tokens are padding, order stays random
)
TARGET = "target"  # the stream of the target language's text


@dataclass(frozen=True)
class Row:
    """One row of a batch: the examples that stand in it, and the epoch that seeds their masks.

    `step` is the optimizer step of its phase that reads it, from 0 on: schedules of masks go by it. `kind` is
    the stream that it is of.
    """

    epoch: int
    examples: np.ndarray
    step: int = 0
    kind: str = TARGET


class RowSource(Protocol):
    """Row k of training for every k >= 0, a pure function of the seed: what a run reads and counts."""

    @property
    def rows_in_epoch(self) -> int:
        """Of the first; others differ by a few where each is packed anew."""

    @property
    def tokens_in_epoch(self) -> int:
        """Real ones, `<s>` and `</s>` included."""

    def __getitem__(self, index: int) -> Row: ...

    def tokens(self, start: int, stop: int) -> int:
        """Real tokens, `<s>` and `</s>` included and padding not, in rows start..stop-1."""


def pack(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Best-fit decreasing: rows of positions into `lengths` whose lengths sum to at most `capacity`.

    An integer serves as the set of free spaces, so that finding the tightest row takes one bit operation.
    """
    rows: list[list[int]] = []
    rows_with_space: list[list[int]] = [[] for _ in range(capacity + 1)]
    spaces = 0
    for position in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[position])
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            row = rows_with_space[space].pop()
            if not rows_with_space[space]:
                spaces &= ~(1 << space)
            rows[row].append(position)
        else:
            space, row = capacity, len(rows)
            rows.append([position])
        rows_with_space[space - length].append(row)
        spaces |= 1 << (space - length)
    return rows


@dataclass(frozen=True)
class EpochPlan:
    """Which examples stand in which row of one epoch: row r is `order[bounds[r] : bounds[r + 1]]`."""

    order: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def row(self, index: int) -> np.ndarray:
        return self.order[self.bounds[index] : self.bounds[index + 1]]


def plan_epoch(lengths: np.ndarray, capacity: int, packing: bool, seed: int, epoch: int) -> EpochPlan:
    """Shuffle the examples of one epoch and lay them into rows of at most `capacity` tokens."""
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(lengths))
    if not packing:
        return EpochPlan(order, np.arange(len(lengths) + 1))
    placed, sizes = [], []
    for start in range(0, len(order), PACKING_WINDOW):
        window = order[start : start + PACKING_WINDOW]
        rows = pack(lengths[window], capacity)
        for index in random.permutation(len(rows)):
            placed.append(window[rows[index]])
            sizes.append(len(rows[index]))
    return EpochPlan(np.concatenate(placed), np.concatenate(([0], np.cumsum(sizes))))


class RowStream:
    """Row k of training, for every k >= 0: epoch after epoch, each shuffled and packed anew."""

    def __init__(self, lengths: np.ndarray, capacity: int, packing: bool, seed: int):
        self.lengths, self.capacity, self.packing, self.seed = lengths, capacity, packing, seed
        self._first_row = [0]  # of each epoch, as far as known
        self._plans: dict[int, EpochPlan] = {}

    @cached_property
    def rows_in_epoch(self) -> int:
        return len(plan_epoch(self.lengths, self.capacity, self.packing, self.seed, 0))

    @property
    def tokens_in_epoch(self) -> int:
        return int(self.lengths.sum())

    def _plan(self, epoch: int) -> EpochPlan:
        if epoch not in self._plans:
            plan = plan_epoch(self.lengths, self.capacity, self.packing, self.seed, epoch)
            # A batch may span two epochs, so the one before stays.
            self._plans = {known: self._plans[known] for known in self._plans if known == epoch - 1}
            self._plans[epoch] = plan
        return self._plans[epoch]

    def __getitem__(self, index: int) -> Row:
        while self._first_row[-1] <= index:
            epoch = len(self._first_row) - 1
            self._first_row.append(self._first_row[-1] + len(self._plan(epoch)))
        epoch = int(np.searchsorted(self._first_row, index, side="right")) - 1
        return Row(epoch, self._plan(epoch).row(index - self._first_row[epoch]))

    def tokens(self, start: int, stop: int) -> int:
        return sum(int(self.lengths[self[index].examples].sum()) for index in range(start, stop))
