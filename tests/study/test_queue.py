"""A queue that is stopped at any moment goes on; what fails is named; what is done is not done again."""

import csv
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from klue_runs import nli_file
from places import REPO

from studies import start, study, write_study
from xpt.study import queue
from xpt.study.plan import plan_runs
from xpt.study.settings import read_study

AXES = {"embedding_init": ["random", "matched"], "seed": [1]}
LONG = {"phase1_steps": 60, "phase2_steps": 4, "logging_steps": 1, "save_steps": 100, "num_fills": 0}


@pytest.fixture(scope="module")
def base(options):
    """Flags of a run that trains for some seconds and saves by itself at the end of a phase only."""
    return options(**LONG)


@pytest.fixture(scope="module")
def finished(base, tmp_path_factory):
    """A finished study of two runs that two queues shared: its file, and what the two printed."""
    path = write_study(tmp_path_factory.mktemp("whole"), base, axes=AXES)
    queues = [start("run", path) for _ in range(2)]
    told = [queue.communicate(timeout=400) for queue in queues]
    assert [queue.returncode for queue in queues] == [0, 0], told
    return path, "".join(out for out, _ in told)


@pytest.fixture(scope="module")
def whole(finished):
    return finished[0]


@pytest.fixture(autouse=True)
def project_is_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPO))


def table(path: Path) -> str:
    return (path.parent / "studies" / path.stem / "table.csv").read_text(encoding="utf-8")


def reached(path: Path, row: str) -> dict[str, str]:
    """By measure the unrounded values of a row's seeds."""
    lines = csv.DictReader(table(path).splitlines())
    return {line["measure"]: line["values"] for line in lines if line["row"] == row}


def wait_for(condition, process) -> None:
    deadline = time.monotonic() + 240
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None and condition(), process.communicate()


def steps_logged(path: Path) -> int:
    logs = (path.parent / "studies" / "runs").glob("*/model/log.jsonl")
    return sum(len(log.read_bytes().splitlines()) for log in logs)


@pytest.mark.slow
def test_a_study_that_is_killed_and_stopped_ends_with_the_same_table(base, whole, tmp_path):
    """SIGKILL in the middle of a phase, SIGTERM in the middle of what goes on: no step is lost by either."""
    path = write_study(tmp_path, base, axes={"embedding_init": ["matched"], "seed": [1]})
    (step,) = plan_runs(read_study(path))[0].steps
    saved = step.folder / "checkpoints" / "phase1"
    killed = start("run", path)
    wait_for(lambda: steps_logged(path) >= 3, killed)
    killed.kill()
    killed.communicate()

    stopped = start("run", path)
    wait_for(lambda: list(saved.glob("checkpoint-*")), stopped)  # by the worker that lost its queue
    (first,) = (int(folder.name.split("-")[1]) for folder in saved.glob("checkpoint-*"))
    wait_for(lambda: steps_logged(path) >= first + 3, stopped)
    stopped.send_signal(signal.SIGTERM)
    said = stopped.communicate(timeout=240)[1]
    assert stopped.returncode == 143
    assert said.splitlines()[-1] == "stopped by SIGTERM; the same command goes on"
    stops = re.findall(
        r"stopped by SIGTERM after step (\d+) of phase1, saved in ", step.log.read_text("utf-8")
    )
    assert len(stops) == 2 and first == int(stops[0]) < int(stops[1]) < 60

    assert study("run", path) == 0
    assert reached(path, "tiny") == reached(whole, "matched") != {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_study_that_is_killed_at_random_moments_ends_with_the_same_table(base, whole, tmp_path, seed):
    path, chooser = write_study(tmp_path, base, axes=AXES), random.Random(seed)
    for _ in range(3):
        process = start("run", path, *(["--jobs", "2"] if chooser.random() < 0.5 else []))
        time.sleep(chooser.uniform(1, 15))
        process.send_signal(chooser.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.communicate(timeout=240)
    assert study("run", path) == 0
    assert reached(path, "random") == reached(whole, "random") != {}
    assert table(path) == table(whole)


def test_two_studies_share_a_run(base, whole, capsys):
    """The second one finds it done, and starts nothing."""
    other = write_study(
        whole.parent, base, "other", axes={"method": {"ours": {"embedding_init": "matched"}}, "seed": [1]}
    )
    results = plan_runs(read_study(other))[0].train.folder / "results.json"
    before = results.stat().st_mtime_ns
    assert study("run", other) == 0
    told = capsys.readouterr().out
    assert told.startswith("1 done, 0 running, 0 left\n") and "starts" not in told
    assert results.stat().st_mtime_ns == before
    assert reached(other, "other") == reached(whole, "matched") != {}


def test_two_queues_train_nothing_twice(finished):
    """Both may start a worker for a run; one of the two ends at once."""
    path, told = finished
    started, late = (
        Counter(re.findall(f"{said}: embedding_init (.*), seed 1\n", told))
        for said in ("starts", "another queue was first")
    )
    assert started - late == {"random": 1, "matched": 1}
    for run in plan_runs(read_study(path)):
        assert run.train.log.read_text("utf-8").count("step 0 ") == 1


def test_a_run_that_somebody_trains_is_waited_for(whole):
    step = plan_runs(read_study(whole))[0].train
    assert not queue._is_busy(step)
    script = "import sys; from pathlib import Path; from xpt.program.lock import FolderLock\n"
    script += "FolderLock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    for folder in (step.lock, step.folder):
        held = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert held.stdout.readline() == "held\n"
        assert queue._is_busy(step)
        held.communicate()
        assert not queue._is_busy(step)


def test_a_run_that_fails_is_named_and_the_others_go_on(base, whole, tmp_path, capsys):
    """The source of one arm is not there, which only opening it tells."""
    axes = {"source": {"none": {"source_model_name_or_path": str(tmp_path / "none")}, "tiny": None}}
    path = write_study(
        whole.parent, base, "failing", measure={"nli": {"data_dir": str(tmp_path)}},
        axes={**axes, "embedding_init": ["random"], "seed": [1]},
    )  # fmt: skip
    assert study("run", path) == 1
    told = capsys.readouterr()
    failed = [line for line in told.err.splitlines() if line.startswith("failed: ")]
    train, tuning = dict.fromkeys(failed[:1]), failed[1:]
    assert next(iter(train)).startswith("failed: source none, embedding_init random, seed 1 (all of it: ")
    errors = [line for line in told.err.splitlines() if line.startswith("    error: ")]
    assert any(str(tmp_path / "none") in line for line in errors)
    assert "not tried: source none, embedding_init random, seed 1 failed" in told.err
    assert any(line.startswith("failed: source tiny") and "nli seed" in line for line in tuning)
    assert "1 of 2 runs are finished" in told.out and "| loss/token | tiny |" in told.out


@pytest.mark.slow
def test_what_runs_have_learned_is_measured_by_fine_tuning(base, whole, tmp_path, capsys):
    """Of the run that is there: one epoch on sixteen examples, twice; the mean of the two is the score."""
    data = nli_file(tmp_path / "klue-nli-v1.1_train.json")
    measured = {
        "seeds": [1, 2], "train_file": str(data), "validation_file": str(data), "num_train_epochs": 1,
        "max_seq_length": 32, "bf16": "false",
    }  # fmt: skip
    path = write_study(
        whole.parent,
        base,
        "tuned",
        axes={"embedding_init": ["random"], "seed": [1]},
        measure={"nli": measured},
    )
    assert study("run", path, "--jobs", "2", "--store", tmp_path / "stored.json") == 0
    (run,) = plan_runs(read_study(path))
    scores = [
        json.loads((step.folder / "results.json").read_text("utf-8"))["metrics"]["nli/accuracy"]
        for step in run.tunings
    ]
    stored = json.loads((tmp_path / "stored.json").read_text("utf-8"))
    assert stored["records"][0]["figures"]["nli/accuracy"] == sum(scores) / 2
    assert stored["records"][0]["command"].startswith("xpt train --")
    shown = capsys.readouterr().out
    assert study("show", tmp_path / "stored.json") == 0
    assert capsys.readouterr().out.strip() == shown[shown.index("**tuned**") :].strip()
