"""Shards: every sentence once an epoch for any processes, workers and resumes; a cache that stays small."""

import pickle
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from conftest import encoded
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_folders import SPECIAL, a_folder, numbered, open_folder, write_folder
from torch.utils.data import BatchSampler, SequentialSampler

from xpt.program.errors import XPTError
from xpt.text.examples import Examples
from xpt.text.masking import MLMCollator
from xpt.text.packing import pack
from xpt.text.reading import PhaseRows, Reading
from xpt.text.shards import rows as rows_module
from xpt.text.shards.best_fit import count_rows, pack_rows
from xpt.text.shards.store import ShardStore

SIZES = [30, 1, 50, 17, 44, 25, 38, 9, 21, 33, 12]


@pytest.fixture(scope="module")
def shards() -> list[list[list[int]]]:
    return numbered(SIZES, seed=0, longest=16)


@pytest.fixture(scope="module")
def folder(shards, tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("shards") / "prepared", shards)


# ---- packing ---------------------------------------------------------------------------------------------


@given(st.lists(st.integers(2, 64) | st.integers(2, 9), max_size=300), st.integers(0, 99))
def test_a_shard_is_packed_as_well_in_rows_whose_count_its_lengths_tell(lengths, seed):
    lengths = np.asarray(lengths, np.int32)
    plan = pack_rows(lengths, 64, np.random.default_rng(seed)) if len(lengths) else []
    rows = [plan.row(index) for index in range(len(plan))]
    assert sorted(item for row in rows for item in row) == list(range(len(lengths)))
    assert all(0 < lengths[row].sum() <= 64 for row in rows)
    assert len(rows) == len(pack(lengths, 64))
    values, counts = np.unique(lengths, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(values))
    assert count_rows(values[shuffled], counts[shuffled], 64) == len(rows)


def test_sentences_of_equal_length_change_places_with_the_draw():
    lengths = np.full(60, 10)
    plans = [pack_rows(lengths, 64, np.random.default_rng(seed)).order.tolist() for seed in (0, 1)]
    assert plans[0] != plans[1] and sorted(plans[0]) == sorted(plans[1])


# ---- examples --------------------------------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any),
    max_seq_length=st.integers(4, 40),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
def test_examples_of_shards_are_those_of_all_their_sentences(sizes, max_seq_length, seed):
    shards = numbered([size for size in sizes if size], seed)
    whole = Examples(encoded([ids for shard in shards for ids in shard]), SPECIAL, max_seq_length)
    with a_folder() as place:
        examples = open_folder(write_folder(place / "prepared", shards), place / "cache", max_seq_length)
        assert len(examples) == len(whole)
        for index in range(len(whole)):
            assert examples[index].tolist() == whole[index].tolist()
            assert examples.lengths_of(np.asarray([index])).tolist() == [whole.lengths[index]]
        for packing in (True, False):
            rows = examples.rows(packing, seed)
            assert rows.tokens_in_epoch == whole.lengths.sum()
            one_by_one = [int(whole.lengths[rows[k].examples].sum()) for k in range(2 * rows.rows_in_epoch)]
            for start, stop in ((0, len(one_by_one)), (1, len(one_by_one) - 1), (1, 2)):
                assert rows.tokens(start, stop) == sum(one_by_one[start:stop])


# ---- rows ------------------------------------------------------------------------------------------------


def read_by(rows: bytes, first: int, count: int, ranks: int, micro_batch: int, workers: int) -> list:
    """(row number, epoch, examples) of all rows that the workers of all ranks read, each with its own copy.

    Rows are dealt by accelerate's own sampler, and a rank's batches to its workers as torch deals them.
    """
    found = []
    for rank in range(ranks):
        batches = BatchSamplerShard(
            BatchSampler(SequentialSampler(range(count)), micro_batch, drop_last=False), ranks, rank
        )
        by_worker = {
            worker: PhaseRows(Reading.of(pickle.loads(rows), first), count, 1) for worker in range(workers)
        }
        for number, batch in enumerate(batches):
            for index in batch:
                row = by_worker[number % workers][index]
                found.append((first + index, row.epoch, row.examples.tolist()))
    return found


@given(
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=9),
    stretches=st.lists(
        st.tuples(st.sampled_from([1, 2, 4, 8, 16, 32, 64]), st.integers(1, 4), st.integers(1, 8)),
        min_size=2,
        max_size=3,
    ),
    at_once=st.integers(1, 4),
    packing=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=12)
def test_every_sentence_once_an_epoch_for_any_ranks_and_workers_and_after_any_resume(
    sizes, stretches, at_once, packing, seed
):
    """Each stretch is trained by other ranks and workers, from the row where the one before stopped."""
    rows_per_step, epochs = 64, 2
    shards = numbered(sizes, seed, longest=20)
    with a_folder() as place, pytest.MonkeyPatch.context() as patched:
        patched.setattr(rows_module, "SHARDS_AT_ONCE", at_once)
        patched.setattr(ShardStore, "prefetch", lambda self, shards: None)  # 256 threads a time
        prepared = write_folder(place / "prepared", shards)

        rows = open_folder(prepared, place / "cache").rows(packing, seed)
        nothing_read = pickle.dumps(rows)  # as a worker gets it
        steps = -(-epochs * rows.rows_in_epoch // rows_per_step)
        total, read, position = sum(weight for *_, weight in stretches), [], 0
        for number, (ranks, workers, weight) in enumerate(stretches, 1):
            last = number == len(stretches)
            count = (steps - position if last else steps * weight // total) * rows_per_step
            read += read_by(
                nothing_read, position * rows_per_step, count, ranks, rows_per_step // ranks, workers
            )
            position += count // rows_per_step
        assert sorted(row for row, *_ in read) == list(range(steps * rows_per_step))
        examples = range(len(rows.examples))
        for epoch in range(epochs):
            seen = Counter(index for _, of, items in read if of == epoch for index in items)
            assert seen == Counter(examples)


@given(st.lists(st.integers(0, 600), min_size=1, max_size=30))
@settings(max_examples=15)
def test_row_k_does_not_depend_on_what_was_read_before(folder, tmp_path_factory, indices):
    cache = tmp_path_factory.getbasetemp() / "rows-cache"
    used = open_folder(folder, cache).rows(True, 5)
    for index in indices:
        fresh = open_folder(folder, cache).rows(True, 5)[index]
        assert (used[index].epoch, used[index].examples.tolist()) == (fresh.epoch, fresh.examples.tolist())


def test_epochs_differ_in_shards_rows_and_company(folder, tmp_path):
    examples = open_folder(folder, tmp_path)
    rows = examples.rows(True, 5)
    size = rows.rows_in_epoch
    epochs = [[rows[epoch * size + index].examples for index in range(size)] for epoch in range(3)]
    orders = [[examples.shard_of(row[0]) for row in epoch] for epoch in epochs]
    company = [{frozenset(row.tolist()) for row in epoch} for epoch in epochs]
    assert orders[0] != orders[1] != orders[2]
    assert len(company[0] & company[1]) < size // 2
    assert len(set(orders[0][:60])) > 4  # shards are mixed, not read one after the other
    other = examples.rows(True, 6)
    assert [other[index].examples.tolist() for index in range(9)] != [row.tolist() for row in epochs[0][:9]]


def test_a_batch_of_shards_is_the_batch_of_their_sentences(shards, folder, tmp_path):
    examples = open_folder(folder, tmp_path)
    whole = Examples(encoded([ids for shard in shards for ids in shard]), SPECIAL, 32)
    rows = examples.rows(True, 1)
    for packing in (True, False):
        for index in range(0, rows.rows_in_epoch, 7):
            batch = [MLMCollator(of, 0.3, 1, packing)([rows[index]]) for of in (examples, whole)]
            assert {name: value.tolist() for name, value in batch[0].items()} == {
                name: value.tolist() for name, value in batch[1].items()
            }


def test_a_copy_in_another_process_reads_the_same_rows(folder, tmp_path):
    rows = open_folder(folder, tmp_path).rows(True, 2)
    expected = [rows[index].examples.tolist() for index in range(50)]
    copy = pickle.loads(pickle.dumps(PhaseRows(Reading.of(rows), 50, 1)))
    assert [copy[index].examples.tolist() for index in range(50)] == expected


# ---- fetching --------------------------------------------------------------------------------------------


class Fetches:
    """Names of the files that stores with caches below a folder read from their place."""

    def __init__(self, monkeypatch, caches: Path):
        self.names, read = [], ShardStore._read
        self.caches = caches

        def noted(store, name):
            if store.cache.is_relative_to(self.caches):  # not what another test still fetches
                self.names.append(name)
            return read(store, name)

        monkeypatch.setattr(ShardStore, "_read", noted)


def test_only_shards_near_the_position_are_fetched_and_each_once(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "SHARDS_AT_ONCE", 2)
    fetches = Fetches(monkeypatch, tmp_path)
    examples = open_folder(folder, tmp_path)
    rows = examples.rows(True, 3)
    assert fetches.names == ["shards.json"]  # where each row is follows from the index
    rows[3 * rows.rows_in_epoch + rows.rows_in_epoch // 2]
    examples.store.fetching.join()
    fetched = fetches.names[1:]
    assert 1 <= len(fetched) <= 4 and len(set(fetched)) == len(fetched)  # its group and the next one
    with ThreadPoolExecutor(4) as pool:  # as workers that come to the same shard
        list(pool.map(open_folder(folder, tmp_path / "other").of_shard, [0] * 8))
    assert fetches.names.count("train-000.parquet") <= 1 + ("train-000.parquet" in fetched)


def test_the_cache_keeps_its_limit_and_what_was_read_last(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "SHARDS_AT_ONCE", 1)
    limit = 10_000
    examples = open_folder(folder, tmp_path, limit=limit)
    rows, most = examples.rows(True, 3), 0
    for index in range(rows.rows_in_epoch):
        rows[index]
        folders = [path for path in (tmp_path / "ids").iterdir() if not path.name.startswith(".")]
        most = max(most, len(folders))
    examples.store.fetching.join()
    kept = [path for path in (tmp_path / "ids").iterdir() if not path.name.startswith(".")]
    sizes = [sum(file.stat().st_size for file in path.iterdir()) for path in kept]
    assert sum(sizes) <= limit and 2 <= len(kept) < len(SIZES) and most < len(SIZES)


def test_a_cache_too_small_for_the_shards_read_at_once_is_refused(folder, tmp_path):
    with pytest.raises(XPTError, match=r"--shard_cache_gb is 1e-05, but 11 shards .* give at least [1-9]"):
        open_folder(folder, tmp_path, limit=10_000).rows(True, 0)


def test_a_damaged_shard_in_the_cache_is_fetched_again(folder, tmp_path, capsys):
    examples = open_folder(folder, tmp_path)
    expected = examples[0].tolist()
    ids = next((tmp_path / "ids").glob("*/ids.npy"))
    ids.write_bytes(ids.read_bytes()[:-2] + b"\xff\xff")
    assert open_folder(folder, tmp_path)[0].tolist() == expected
    assert "is damaged: ids.npy" in capsys.readouterr().err


def test_a_url_of_any_protocol_is_read(shards, folder, tmp_path):
    system = fsspec.filesystem("memory")
    system.put(str(folder), "/prepared", recursive=True)
    examples = open_folder("memory://prepared/", tmp_path)
    assert examples[0].tolist() == [0, *shards[0][0], 2]


def spoil(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("shards.json", None, "holds no shards.json; name a folder or URL"),
        ("shards.json", b"{}", "shards.json is damaged"),
        ("shards.json", b"\xff", "shards.json is damaged"),
        ("train-000.parquet", None, "holds no train-000.parquet"),
        ("train-000.parquet", b"PAR1", "train-000.parquet is damaged: 4 bytes that are not the"),
    ],
)
def test_a_damaged_folder_is_named(folder, tmp_path, name, content, message):
    copy = shutil.copytree(folder, tmp_path / "copy")
    spoil(copy, name, content)
    with pytest.raises(XPTError, match=message) as refused:
        open_folder(copy, tmp_path / "cache")[0]
    assert "copy" in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "place",
    ["https://me:hidden@host/shards", "https://host/shards?X-Signature=hidden", "s3://hidden@bucket/x"],
)
def test_a_url_with_a_secret_is_refused_without_showing_it(place, tmp_path):
    with pytest.raises(XPTError, match="give credentials in the environment") as refused:
        ShardStore(place, tmp_path, 1)
    assert "hidden" not in str(refused.value)


def test_an_unknown_protocol_is_one_line(tmp_path):
    with pytest.raises(XPTError, match=r"nowhere://x/shards\.json cannot be read"):
        open_folder("nowhere://x", tmp_path)
