"""The order of training examples: each once an epoch, whatever was interrupted, near others of its length."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xpt.finetune.rows import BLOCK, ShuffledRows
from xpt.finetune.task import Feature


def features(lengths):
    return [Feature({"input_ids": [5] * length}, index) for index, length in enumerate(lengths)]


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(lengths, st.integers(1, 6), st.integers(1, 4), st.integers(0, 9), st.booleans())
def test_every_example_comes_once_an_epoch_in_an_order_of_seed_and_place_alone(
    lengths, batch, epochs, seed, grouped
):
    rows = ShuffledRows(features(lengths), epochs * len(lengths), batch, seed, grouped)
    order = [rows.index(row) for row in range(len(rows))]
    assert Counter(order) == dict.fromkeys(range(len(lengths)), epochs)
    again = ShuffledRows(features(lengths), epochs * len(lengths), batch, seed, grouped)
    assert [again.index(row) for row in reversed(range(len(rows)))] == order[::-1]
    assert rows.tokens(0, len(rows)) == epochs * sum(lengths)
    middle = len(rows) // 2
    assert rows.tokens(0, middle) + rows.tokens(middle, len(rows)) == epochs * sum(lengths)


def test_another_seed_and_another_epoch_give_another_order():
    rows = [ShuffledRows(features(range(1, 200)), 398, 4, seed, grouped) for seed, grouped in
            ((0, False), (1, False), (0, True), (1, True))]  # fmt: skip
    orders = [tuple(each.index(row) for row in range(199)) for each in rows]
    orders.append(tuple(rows[0].index(row) for row in range(199, 398)))
    assert len(set(orders)) == 5


def test_rows_of_one_batch_are_of_similar_length_and_batches_are_not_sorted():
    lengths = np.random.default_rng(0).integers(1, 500, 4 * BLOCK * 8)
    rows = ShuffledRows(features(lengths), len(lengths), 8, 0, length_grouping=True)
    batches = np.array([lengths[rows.index(row)] for row in range(len(rows))]).reshape(-1, 8)
    spread = np.ptp(batches, axis=1).mean()
    assert spread < 0.2 * np.ptp(lengths)
    first = batches[:BLOCK].max(axis=1)
    assert not (np.diff(first) >= 0).all() and not (np.diff(first) <= 0).all()
