"""Runs as jobs, by submitit's own executor for one machine; a real cluster is not there to be tested."""

import pytest
from places import REPO

from studies import study, write_study
from xpt.study.plan import plan_runs
from xpt.study.settings import read_study


@pytest.fixture(autouse=True)
def project_is_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPO))


@pytest.mark.slow
def test_each_run_is_a_job_and_one_that_fails_is_named(options, tmp_path, capsys):
    """Of two arms one has no source; started again, only that one is submitted."""
    axes = {"source": {"none": {"source_model_name_or_path": str(tmp_path / "none")}, "tiny": None}}
    path = write_study(tmp_path, options(num_fills=0), axes={**axes, "seed": [1]})
    assert study("run", path, "--executor", "local", "--executor_options", "timeout_min=20") == 1
    told = capsys.readouterr()
    assert told.out.count("submitted: ") == 2
    assert "failed: source none, seed 1 (all of it: " in told.err
    assert f"{tmp_path / 'none'}" in told.err and "failed: source tiny" not in told.err
    assert "1 of 2 runs are finished" in told.out and "| loss/token | tiny | 1 |" in told.out
    jobs = list((tmp_path / "studies" / "tiny" / "jobs").glob("*_log.out"))
    done = ["1 done, 0 running, 0 left" in job.read_text("utf-8") for job in jobs]
    assert sorted(done) == [False, True]  # each works through one run
    assert study("run", path, "--executor", "local") == 1
    told = capsys.readouterr()
    assert told.out.count("submitted: ") == told.out.count("submitted: source none") == 1


def test_one_run_alone_is_trained_and_no_table_is_made(options, tmp_path, capsys):
    path = write_study(tmp_path, options(num_fills=0))
    runs = plan_runs(read_study(path))
    assert study("run", path, "--only", runs[2].key) == 0
    assert [run.train.finished for run in runs] == [False, False, True, False]
    assert "1 done, 0 running, 0 left" in capsys.readouterr().out
    assert not (tmp_path / "studies" / "tiny").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--executor", "ray"], "--executor ray is not supported; give slurm or local"),
        (["--executor", "slurm"], "--executor slurm: "),  # there is none here
        (["--executor_options", "a=1"], "--executor_options has no effect without --executor slurm"),
        (["--executor", "local", "--executor_options", "gpus"], "--executor_options: gpus is no NAME=VALUE"),
        (["--executor", "local", "--executor_options", "no_such=1"], "--executor local: "),
        (["--only", "nothing"], "--only nothing: "),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_trains_nothing(options, tmp_path, capsys, flags, said):
    path = write_study(tmp_path, options())
    assert study("run", path, *flags) == 2
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1
    assert not (tmp_path / "studies" / "runs").exists()
