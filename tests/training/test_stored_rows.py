"""Rows of tensors, written by some processes, are read by any other number of them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from xpt.training.stored_rows import Rows, StoredTensors, save_rows, shard_name

COUNTS = st.integers(1, 9)
SHAPES = st.lists(st.integers(1, 11), min_size=1, max_size=3)


def written(folder: Path, tensors: dict[str, torch.Tensor], processes: int) -> list[Path]:
    for rank in range(processes):
        shares = {}
        for name, tensor in tensors.items():
            rows = Rows.of(len(tensor), rank, processes)
            shares[name] = (tensor[rows.start : rows.stop], rows)
        save_rows(folder / shard_name("state", rank, processes), shares)
    return sorted(folder.glob("state-*.safetensors"))


@given(total=st.integers(1, 200), processes=st.integers(1, 64))
def test_rows_are_shared_out_as_torch_chunks_them(total, processes):
    chunks = torch.arange(total).chunk(processes)
    for rank in range(processes):
        rows = Rows.of(total, rank, processes)
        expected = chunks[rank].tolist() if rank < len(chunks) else []
        assert list(range(rows.start, rows.stop)) == expected


@settings(max_examples=60)
@given(shapes=st.lists(SHAPES, min_size=1, max_size=4), before=COUNTS, after=COUNTS, data=st.data())
def test_any_number_of_processes_reads_what_any_other_wrote(shapes, before, after, data):
    order = data.draw(st.permutations(range(before)))
    tensors = {f"exp_avg|{n}": torch.randn(shape) for n, shape in enumerate(shapes)}
    with TemporaryDirectory() as folder:
        files = written(Path(folder), tensors, before)
        save_file({"step|0": torch.tensor(7.0)}, Path(folder) / "state.safetensors")
        stored = StoredTensors([*(files[i] for i in order), Path(folder) / "state.safetensors"])
        assert sorted(stored.names()) == sorted([*tensors, "step|0"])
        assert stored.shape("step|0") == () and stored.whole("step|0") == torch.tensor(7.0)
        for name, tensor in tensors.items():
            assert stored.shape(name) == tensor.shape
            assert torch.equal(stored.whole(name), tensor)
            again = [stored.rows(name, Rows.of(len(tensor), rank, after)) for rank in range(after)]
            assert all(part.shape[1:] == tensor.shape[1:] for part in again)
            assert torch.equal(torch.cat(again), tensor)


def test_a_file_that_one_process_wrote_is_shared_out_too(tmp_path):
    tensor = torch.arange(12.0).reshape(6, 2)
    save_file({"moment": tensor}, tmp_path / "state.safetensors")
    stored = StoredTensors([tmp_path / "state.safetensors"])
    assert torch.equal(stored.rows("moment", Rows(2, 5, 6)), tensor[2:5])


def test_missing_rows_and_other_shapes_are_found(tmp_path):
    files = written(tmp_path, {"moment": torch.arange(9.0)}, 3)
    without_second = StoredTensors([files[0], files[2]])
    assert without_second.rows("moment", Rows(0, 3, 9)).tolist() == [0, 1, 2]
    for wanted in (Rows(0, 9, 9), Rows(2, 4, 9), Rows(4, 5, 9)):
        with pytest.raises(ValueError, match=r"moment lacks its rows from [34] on"):
            without_second.rows("moment", wanted)
    with pytest.raises(ValueError, match="moment has 9 rows instead of 8"):
        StoredTensors(files).rows("moment", Rows(0, 4, 8))
    save_rows(tmp_path / "other.safetensors", {"moment": (torch.zeros(2), Rows(0, 2, 8))})
    with pytest.raises(ValueError, match="moment has another shape in each of its files"):
        StoredTensors([files[2], tmp_path / "other.safetensors"])
