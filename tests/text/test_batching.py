"""Rows, masks and packing: pure functions of (seed, epoch, example index)."""

import numpy as np
import pytest
from accelerate.data_loader import prepare_data_loader
from conftest import encoded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_examples import SPECIAL, make_examples
from torch.utils.data import DataLoader, SequentialSampler

from xpt.text.examples import Examples
from xpt.text.masking import IGNORE_INDEX, MLMCollator, hash_uniform
from xpt.text.packing import Row, RowStream, pack, plan_epoch
from xpt.text.reading import PhaseRows, Reading


@given(
    st.lists(st.lists(st.integers(4, 498), max_size=60), min_size=1, max_size=20).filter(lambda x: any(x)),
    st.integers(3, 30),
)
def test_long_sentences_are_cut_and_nothing_is_lost(sentences, max_seq_length):
    examples = Examples(encoded(sentences), SPECIAL, max_seq_length)
    rows = [examples[i] for i in range(len(examples))]
    assert all(len(row) <= max_seq_length and row[0] == 0 and row[-1] == 2 for row in rows)
    assert [len(row) for row in rows] == examples.lengths.tolist()
    assert [t for row in rows for t in row[1:-1].tolist()] == [t for s in sentences for t in s]


@given(st.lists(st.integers(2, 64) | st.integers(2, 6), min_size=1, max_size=400))
def test_packing_places_every_sentence_once_and_never_overflows(lengths):
    lengths = np.asarray(lengths)
    rows = pack(lengths, 64)
    assert sorted(position for row in rows for position in row) == list(range(len(lengths)))
    assert all(lengths[row].sum() <= 64 for row in rows)
    # Best-fit decreasing never needs more than 11/9 of the optimum, and 4 bins (Johnson 1973).
    assert len(rows) <= 11 / 9 * -(-lengths.sum() // 64) + 4 or max(lengths) > 32


def test_packed_rows_waste_under_two_percent():
    # Sentence lengths of running text: skewed, mean about 34 pieces.
    lengths = 3 + np.random.default_rng(0).gamma(3.0, 10.0, 20_000).astype(int).clip(max=125)
    plan = plan_epoch(lengths, 128, True, seed=3, epoch=0)
    assert lengths.sum() / (len(plan) * 128) > 0.98


@pytest.fixture
def small_window(monkeypatch):
    """Packing windows smaller than the examples are many."""
    monkeypatch.setattr("xpt.text.packing.PACKING_WINDOW", 32)


@pytest.mark.usefixtures("small_window")
@pytest.mark.parametrize("packing", [True, False])
@given(seed=st.integers(0, 2**31), epochs=st.integers(1, 3))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_example_once_an_epoch_in_an_order_of_its_own(packing, seed, epochs):
    examples = make_examples(150)
    stream = RowStream(examples.lengths, 64, packing, seed)
    seen, k = [], 0
    orders = []
    for epoch in range(epochs):
        while len(seen) < len(examples):
            row = stream[k]
            assert row.epoch == epoch
            seen += row.examples.tolist()
            k += 1
        assert sorted(seen) == list(range(len(examples)))
        orders.append(tuple(seen))
        seen = []
    assert len(set(orders)) == epochs


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30))
@settings(max_examples=25)
def test_row_k_does_not_depend_on_what_was_read_before(indices):
    examples = make_examples(100)
    fresh = {k: RowStream(examples.lengths, 64, True, 5)[k] for k in indices}
    used = RowStream(examples.lengths, 64, True, 5)
    for k in indices:
        row = used[k]
        assert row.epoch == fresh[k].epoch and row.examples.tolist() == fresh[k].examples.tolist()


def test_uniform_numbers_are_uniform_and_independent():
    position, example = np.meshgrid(np.arange(200), np.arange(5000))
    first = hash_uniform(1, np.asarray(0), example, position, 0)
    assert abs(first.mean() - 0.5) < 1e-3
    assert np.abs(np.histogram(first, 50, (0, 1))[0] / first.size - 0.02).max() < 5e-4
    for other in (
        hash_uniform(2, np.asarray(0), example, position, 0),
        hash_uniform(1, np.asarray(1), example, position, 0),
        hash_uniform(1, np.asarray(0), example, position, 1),
        hash_uniform(1, np.asarray(0), example + 1, position, 0),
        hash_uniform(1, np.asarray(0), example, position + 1, 0),
    ):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 5e-3


@pytest.mark.parametrize(("probability", "tolerance"), [(0.15, 0.001), (0.4, 0.002)])
def test_a_million_tokens_are_masked_at_the_rate_and_special_ones_never(probability, tolerance):
    examples = make_examples(30_000, 64, mean=36)
    collator = MLMCollator(examples, probability, seed=1, packing=False)
    ordinary = chosen = masked = kept = 0
    for start in range(0, len(examples), 1000):
        rows = [Row(0, np.asarray([i])) for i in range(start, min(start + 1000, len(examples)))]
        batch = collator(rows)
        original = np.full(batch["input_ids"].shape, SPECIAL.pad)
        for r, row in enumerate(rows):
            tokens = examples[int(row.examples[0])]
            original[r, : len(tokens)] = tokens
        ids, labels = batch["input_ids"].numpy(), batch["labels"].numpy()
        special = np.isin(original, SPECIAL.reserved)
        hit = labels != IGNORE_INDEX
        assert not (hit & special).any() and (ids[special] == original[special]).all()
        assert (labels[hit] == original[hit]).all() and (ids[~hit] == original[~hit]).all()
        replaced = hit & (ids != SPECIAL.mask) & (ids != original)
        assert not np.isin(ids[replaced], SPECIAL.reserved).any()
        ordinary += int((~special).sum())
        chosen += int(hit.sum())
        masked += int((hit & (ids == SPECIAL.mask)).sum())
        kept += int((hit & (ids == original)).sum())
    assert ordinary > 1_000_000
    assert abs(chosen / ordinary - probability) < tolerance
    assert abs(masked / chosen - 0.8) < 0.005
    assert abs(kept / chosen - 0.1 - 0.1 / 495) < 0.005


@given(seed=st.integers(0, 1000), epoch=st.integers(0, 5))
@settings(max_examples=10)
def test_a_sentence_gets_the_same_masks_packed_or_not(seed, epoch):
    examples = make_examples(40)
    packed = MLMCollator(examples, 0.15, seed, packing=True)
    padded = MLMCollator(examples, 0.15, seed, packing=False)
    for row in pack(examples.lengths, 64):
        together = packed([Row(epoch, np.asarray(row))])
        start = 0
        for index in row:
            alone = padded([Row(epoch, np.asarray([index]))])
            length = int(examples.lengths[index])
            for key in ("input_ids", "labels"):
                assert together[key][0, start : start + length].equal(alone[key][0, :length])
            assert together["position_ids"][0, start : start + length].tolist() == list(range(2, 2 + length))
            start += length
        assert (together["position_ids"][0, start:] == SPECIAL.pad).all()


def test_packed_attention_is_block_diagonal():
    examples = make_examples(30)
    row = next(row for row in pack(examples.lengths, 64) if len(row) > 1)
    batch = MLMCollator(examples, 0.15, 0, packing=True)([Row(0, np.asarray(row))])
    allowed = batch["attention_mask"][0, 0].numpy()
    owner = np.repeat(np.arange(len(row)), examples.lengths[row])
    owner = np.pad(owner, (0, 64 - len(owner)), constant_values=-1)
    assert (allowed == (owner[:, None] == owner[None, :])).all()


def real_tokens(batch: dict, row: int, length: int) -> dict:
    """One row of a batch as nested lists, without what pads it to the longest of its batch."""
    cut = {name: value[row, ..., :length] for name, value in batch.items()}
    if cut["attention_mask"].ndim > 1:  # (1, length, length)
        cut["attention_mask"] = cut["attention_mask"][:, :length]
    return {name: value.tolist() for name, value in cut.items()}


def shares(rows: PhaseRows, collator: MLMCollator, processes: int, **loading) -> list[list[dict]]:
    """The batches of each process, by the loader that the Trainer makes for it."""
    loaders = [
        prepare_data_loader(
            DataLoader(rows, sampler=SequentialSampler(rows), collate_fn=collator, **loading),
            num_processes=processes,
            process_index=process,
            split_batches=False,
            put_on_device=False,
        )
        for process in range(processes)
    ]
    return [list(loader) for loader in loaders]


@given(
    shape=st.sampled_from([(1, 1, 12), (1, 12, 1), (1, 3, 4), (2, 3, 2), (2, 2, 3), (3, 4, 1), (4, 1, 3)]),
    workers=st.integers(0, 3),
    loading=st.fixed_dictionaries(
        {"persistent_workers": st.booleans(), "prefetch_factor": st.integers(1, 4)}
    ),
    packing=st.booleans(),
    first_row=st.integers(0, 200),
)
@settings(max_examples=12, deadline=None)
def test_processes_micro_batches_and_workers_change_neither_order_nor_masks(
    shape, workers, loading, packing, first_row
):
    processes, micro_batch, accumulation = shape
    examples, steps = make_examples(60), 4  # epochs of 60 rows, or of about 20 packed ones
    collator = MLMCollator(examples, 0.15, 3, packing)
    stream = RowStream(examples.lengths, 64, packing, 3)
    rows = PhaseRows(Reading.of(stream, first_row), steps, processes * micro_batch * accumulation)
    loading = loading if workers else {}
    by_process = shares(rows, collator, processes, batch_size=micro_batch, num_workers=workers, **loading)
    assert {len(batches) for batches in by_process} == {steps * accumulation}
    together = [batch for batches in zip(*by_process, strict=True) for batch in batches]
    for index in range(len(rows)):
        row, length = rows[index], int(examples.lengths[rows[index].examples].sum())
        fed = real_tokens(together[index // micro_batch], index % micro_batch, length)
        assert fed == real_tokens(collator([row]), 0, length)
