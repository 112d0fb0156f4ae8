"""SIGTERM and Ctrl-C: what is computed is saved, the way on is said, and the run ends bit-equal."""

import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import REPO
from tiny_runs import assert_equal_runs, run

import xpt.training.trainer
from train_xpt import main
from xpt.program.interrupts import Interrupted, StopRequest
from xpt.run.progress import PhaseProgress

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130}


@pytest.fixture(scope="module")
def evaluated(options):
    """Flags of a run that is evaluated every other step and saves by itself at the end of a phase only."""
    return options(eval_strategy="steps", eval_steps=2, save_steps=100, logging_steps=1)


@pytest.fixture(scope="module")
def whole(evaluated, tmp_path_factory):
    return run(evaluated, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize(
    ("number", "seed"),
    [
        (signal.SIGTERM, 1),
        (signal.SIGINT, 2),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.slow),
    ],
)
def test_a_signal_in_any_step_saves_that_step_and_the_run_ends_bit_equal(
    evaluated, whole, tmp_path, capsys, monkeypatch, number, seed
):
    folder = tmp_path / "run"
    chooser = random.Random(seed)
    points = {(phase, step) for phase in ("phase1", "phase2") for step in chooser.sample(range(1, 5), 2)}
    step_end = PhaseProgress.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        if (self.phase, state.global_step) in points:
            points.remove((self.phase, state.global_step))
            signal.raise_signal(number)

    monkeypatch.setattr(PhaseProgress, "on_step_end", on_step_end)
    planned = sorted(points)
    for phase, step in planned:
        assert main([*evaluated, "--output_dir", str(folder)]) == SIGNALS[number]
        last = capsys.readouterr().err.strip().splitlines()[-1]
        saved = folder / "checkpoints" / phase / f"checkpoint-{step}"
        where = f"after step {step} of {phase}, saved in {saved}"
        assert last == f"stopped by {number.name} {where}; the same command goes on"
        assert saved.is_dir()
    assert main([*evaluated, "--output_dir", str(folder)]) == 0
    assert_equal_runs(folder, whole)


def test_a_signal_in_the_middle_of_an_evaluation_saves_and_evaluates_again(
    evaluated, whole, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "run"
    evaluate, pending = xpt.training.trainer.evaluate_mlm, [signal.SIGTERM]

    def interrupted(*args, **kwargs):
        if pending:
            signal.raise_signal(pending.pop())
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(xpt.training.trainer, "evaluate_mlm", interrupted)
    assert main([*evaluated, "--output_dir", str(folder)]) == 143
    assert "after step 2 of phase1, saved in" in capsys.readouterr().err
    assert main([*evaluated, "--output_dir", str(folder)]) == 0
    assert_equal_runs(folder, whole)


def test_a_second_signal_does_not_wait(tmp_path):
    with StopRequest().installed() as stop, pytest.raises(Interrupted), stop.put_off():
        signal.raise_signal(signal.SIGINT)
        assert stop.number == signal.SIGINT
        signal.raise_signal(signal.SIGINT)


def test_outside_of_training_a_signal_ends_at_once_and_nothing_is_written(
    options, tmp_path, capsys, monkeypatch
):
    def interrupted(*args, **kwargs):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("train_xpt.open_source", interrupted)
    assert main([*options(), "--output_dir", str(tmp_path / "run")]) == 143
    assert capsys.readouterr().err.strip() == "stopped by SIGTERM; the same command goes on"
    assert not (tmp_path / "run").exists()


def test_the_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with StopRequest().installed():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_ctrl_c_on_a_real_process_with_loader_workers(options, tmp_path):
    """The terminal sends it to the workers too."""
    folder = tmp_path / "run"
    flags = options(phase1_steps=2000, logging_steps=5, dataloader_num_workers=2)
    command = [sys.executable, "train_xpt.py", *flags, "--output_dir", str(folder)]
    process = subprocess.Popen(
        command,
        cwd=REPO,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not (folder / "log.jsonl").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=True)
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 130, said
    last = said.strip().splitlines()[-1]
    saved = re.fullmatch(r"stopped by SIGINT after step \d+ of phase1, saved in (\S+); .*", last)
    assert saved, said
    assert (Path(saved[1]) / "manifest.json").is_file() and "Traceback" not in said
