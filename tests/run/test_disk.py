"""What the disk does to a run: no place to write, writes that fail, text that is gone. Nothing is lost."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import torch
from conftest import korean_sentences
from safetensors import SafetensorError
from tiny_runs import assert_equal_runs, run

from train_xpt import main
from xpt.program.errors import XPTError, user_message
from xpt.program.files import (
    check_writable,
    read_record,
    remove_folder,
    remove_leftovers,
    write_folder_atomically,
    write_record,
)
from xpt.program.interrupts import Interrupted


@pytest.mark.parametrize("option", ["output_dir", "cache_dir"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_read(
    options, tmp_path, capsys, monkeypatch, option
):
    changes = {"output_dir": tmp_path / "run", option: "/proc/nobody/writes/here"}
    monkeypatch.setattr("xpt.text.corpus.build._build", lambda *args: pytest.fail("read the corpus"))
    flags = [*options(cache_dir=changes.pop("cache_dir", tmp_path / "cache"), **changes)]
    assert main(flags) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"error: --{option} /proc/nobody/writes/here: /proc cannot be written (")
    assert said.endswith("give a folder of your own") and not (tmp_path / "run").exists()


def test_a_read_only_folder_is_refused():
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)  # root writes everywhere
        with pytest.raises(
            XPTError, match=rf"--output_dir {folder}/new: {folder} cannot be written \(Permission"
        ):
            check_writable(folder / "new", "--output_dir")
    finally:
        os.seteuid(user)
        folder.rmdir()


def test_a_removed_corpus_is_named_and_its_return_lets_the_run_end_bit_equal(
    options, tmp_path, capsys, monkeypatch
):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(korean_sentences(1500, seed=3)), encoding="utf-8")
    flags = options(corpus=text)
    whole, folder = run(flags, tmp_path / "whole"), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("train_xpt.PostTraining.finish", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        assert main([*flags, "--output_dir", str(folder)]) == 130
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.name != ".lock"}
    content = text.read_bytes()
    text.unlink()
    assert main([*flags, "--output_dir", str(folder)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith(f"error: corpus {text} does not exist")
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.name != ".lock"} == before
    text.write_bytes(content)
    assert main([*flags, "--output_dir", str(folder)]) == 0
    assert_equal_runs(folder, whole)


# ---- the files' own promises -----------------------------------------------------------------------------


def test_a_record_tells_when_it_is_not_what_was_written(tmp_path):
    file = tmp_path / "record.json"
    write_record(file, {"loss": 1.5, "names": ["가", "b"]})
    assert read_record(file) == {"loss": 1.5, "names": ["가", "b"]}
    text = file.read_text(encoding="utf-8")
    for damaged in (text.replace("1.5", "1.4"), text[:-20], "", "[]", "{}", '{"sha256": 1, "content": 2}'):
        file.write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError):
            read_record(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError):
        read_record(file)


def test_a_folder_appears_whole_or_not_at_all_and_leftovers_go(tmp_path):
    with pytest.raises(RuntimeError), write_folder_atomically(tmp_path / "made") as staging:
        (staging / "half").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with write_folder_atomically(tmp_path / "made") as staging:
        (staging / "file").write_text("x")
        shutil.copytree(staging, tmp_path / staging.name.replace("made", "killed"))
    (tmp_path / ".git").mkdir()  # hidden, and not ours
    (tmp_path / ".made.json.staging-17").write_text("{")
    remove_leftovers(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".git", "made"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "a.json"), "[Errno 28] No space left on device: 'a.json'"),
        (MemoryError(), "out of memory; give a smaller --per_device_train_batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried\nto"), "out of memory; give a smaller"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), "out of memory; give a smaller"),
        (SafetensorError("I/O error: No space left on device"), "I/O error: No space left on device"),
        (XPTError("two\nlines"), "two lines"),
    ],
)
def test_what_the_system_refuses_is_one_line(error, message):
    assert user_message(error).startswith(message)


def test_a_fault_of_the_program_is_not_dressed_up():
    assert user_message(KeyError("x")) is None


def test_a_signal_while_a_folder_is_deleted_leaves_nothing_of_it(tmp_path, monkeypatch):
    folder, unlink, removed = tmp_path / "folder", os.unlink, []
    folder.mkdir()
    for name in "abc":
        (folder / name).touch()

    def interrupted(path, **kwargs):
        removed.append(path)
        if len(removed) == 2:
            raise Interrupted(signal.SIGTERM)
        unlink(path, **kwargs)

    monkeypatch.setattr(os, "unlink", interrupted)
    with pytest.raises(Interrupted):
        remove_folder(folder)
    assert list(tmp_path.iterdir()) == []
