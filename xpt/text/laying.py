"""Rows of examples are laid out as arrays: which token, of which example, at which place in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpt.text.examples import ExampleSet
from xpt.text.lengths import padded_length
from xpt.text.packing import Row


@dataclass(frozen=True)
class LaidRows:
    """Arrays of shape (rows, length); `ids` is the padding where `segment` is 0.

    Args:
        ids: of tokens.
        segment: which of its row's examples a token is of, counted from 1; 0 is padding.
        example: its number in the set.
        position: of a token in its example, from 0 on.
    """

    ids: np.ndarray
    segment: np.ndarray
    example: np.ndarray
    position: np.ndarray


def lay_out(examples: ExampleSet, rows: Sequence[Row], packing: bool) -> LaidRows:
    """The examples of each row one behind the other; rows are as long as the longest, packed ones full."""
    longest = max(int(examples.lengths_of(row.examples).sum()) for row in rows)
    length = examples.max_seq_length if packing else padded_length(longest, examples.max_seq_length)
    shape = (len(rows), length)
    ids = np.full(shape, examples.special.pad, dtype=np.int64)
    segment, example, position = (np.zeros(shape, dtype=np.int64) for _ in range(3))
    for r, row in enumerate(rows):
        start = 0
        for number, index in enumerate(row.examples, 1):
            tokens = examples[index]
            stop = start + len(tokens)
            ids[r, start:stop], segment[r, start:stop], example[r, start:stop] = tokens, number, index
            position[r, start:stop] = np.arange(len(tokens))
            start = stop
    return LaidRows(ids, segment, example, position)
