"""Best-fit packing whose count of rows follows from the lengths alone, whatever their order.

The rows of `xpt.text.packing.pack`, found for all items of a length and all rows of a free space at once: a
quarter of a million sentences take some hundredths of a second, so that a whole shard is one window.
"""

import numpy as np

from xpt.text.packing import EpochPlan


def best_fit(lengths: np.ndarray, counts: np.ndarray, capacity: int) -> np.ndarray:
    """The row of each item, longest first: best-fit decreasing into rows of at most `capacity`.

    Args:
        lengths: different ones, descending, each from 1 to `capacity`.
        counts: how many items have each.

    Returns:
        int64, (items,): items of one length stand together, in the order of `lengths`.
    """
    ends = np.cumsum(counts)
    row_of = np.empty(int(ends[-1]) if len(ends) else 0, np.int64)
    open_rows: dict[int, np.ndarray] = {}  # by free space
    spaces, rows = 0, 0  # an integer as the set of free spaces
    for length, start, end in zip(lengths.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True):
        while start < end:
            fitting = spaces >> length
            if fitting:
                space = length + (fitting & -fitting).bit_length() - 1
                available = open_rows.pop(space)
                spaces &= ~(1 << space)
            else:
                space = capacity
                available = np.arange(rows, rows - (start - end) // (space // length))
                rows += len(available)
            # The tightest row stays the tightest until nothing of this length fits any more.
            each = space // length
            filled = min(len(available), -(-(end - start) // each))
            taken = min(filled * each, end - start)
            row_of[start : start + taken] = np.repeat(available[:filled], each)[:taken]
            start += taken
            last = space - (taken - (filled - 1) * each) * length
            for left, those in (
                (space - each * length, available[: filled - 1]),
                (last, available[filled - 1 : filled]),
                (space, available[filled:]),
            ):
                if len(those):
                    open_rows[left] = np.concatenate([open_rows[left], those]) if left in open_rows else those
                    spaces |= 1 << left
    return row_of


def count_rows(lengths: np.ndarray, counts: np.ndarray, capacity: int) -> int:
    """How many rows `pack_rows` makes; `lengths` are different ones, in any order, with their `counts`."""
    descending = np.argsort(-lengths)
    row_of = best_fit(lengths[descending], counts[descending], capacity)
    return int(row_of.max()) + 1 if len(row_of) else 0


def pack_rows(lengths: np.ndarray, capacity: int, random: np.random.Generator) -> EpochPlan:
    """Rows of at most `capacity` tokens, each item in one; which of equal length goes where is drawn.

    Args:
        lengths: (items,), each from 1 to `capacity`.
    """
    shuffled = random.permutation(len(lengths))
    items = shuffled[np.argsort(-lengths[shuffled], kind="stable")]
    ascending, counts = np.unique(lengths, return_counts=True)
    row_of = best_fit(ascending[::-1], counts[::-1], capacity)
    order = items[np.argsort(row_of, kind="stable")]
    return EpochPlan(order, np.concatenate(([0], np.cumsum(np.bincount(row_of)))))
