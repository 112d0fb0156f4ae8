"""Two runs on one folder: the second is refused, and a killed first one is no obstacle."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import assert_equal_runs, run

from train_xpt import main
from xpt.program.errors import XPTError
from xpt.program.lock import FolderLock

REPO = Path(__file__).resolve().parents[1]
HOLDER = """
import sys, time
from pathlib import Path
from xpt.program.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
{then}
print("locked", flush=True)
time.sleep(600)
"""
WITH_CHILD = "import os\nif os.fork() == 0:\n    time.sleep(600)"


def hold(folder: Path, then: str = "") -> subprocess.Popen:
    """Another process that has the lock of `folder`."""
    code = [sys.executable, "-c", HOLDER.format(then=then), str(folder)]
    process = subprocess.Popen(code, cwd=REPO, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout.readline() == "locked\n"
    return process


def end(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_the_second_run_is_refused_and_after_sigkill_goes_on(options, tmp_path, capsys, monkeypatch):
    whole = run(options(), tmp_path / "whole")
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("train_xpt.PostTraining.finish", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
        assert main([*options(), "--output_dir", str(folder)]) == 143
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.name != ".lock"}
    first = hold(folder)
    try:
        assert main([*options(), "--output_dir", str(folder)]) == 2
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said == (
            f"error: {folder} is in use by process {first.pid}; wait for it, or give another --output_dir"
        )
        after = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.name != ".lock"}
        assert after == before
    finally:
        end(first)
    assert main([*options(), "--output_dir", str(folder)]) == 0
    assert_equal_runs(folder, whole)


def test_two_runs_that_start_together_on_a_new_folder(options, tmp_path, capsys):
    folder = tmp_path / "run"
    first = hold(folder)  # made the folder, and has not yet written what the run is
    try:
        assert main([*options(), "--output_dir", str(folder)]) == 2
    finally:
        end(first)
    assert f"{folder} is in use by process {first.pid}" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == [".lock"]


def test_no_child_of_a_killed_holder_keeps_the_lock(tmp_path):
    holder = hold(tmp_path, WITH_CHILD)
    try:
        with pytest.raises(XPTError, match=f"in use by process {holder.pid}"):
            FolderLock(tmp_path).acquire()
        os.kill(holder.pid, signal.SIGKILL)  # its child lives on
        holder.wait()
        FolderLock(tmp_path).acquire()
    finally:
        end(holder)


def test_a_released_lock_is_free(tmp_path):
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.acquire()
    lock.release()
    other = hold(tmp_path)
    assert other.poll() is None
    end(other)
