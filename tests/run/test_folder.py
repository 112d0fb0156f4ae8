"""The run folder: what may change between two starts, and what is refused."""

import contextlib
import itertools
import json
import os
import shutil
from pathlib import Path

import pytest

from xpt.program.environment import describe_command
from xpt.program.errors import XPTError
from xpt.program.files import write_json_atomically
from xpt.program.manifest import verify
from xpt.run.folder import Run
from xpt.training.phases import Phase

SETTINGS = {"seed": 1, "learning_rate": 1e-4, "logging_steps": 50, "save_steps": 500, "corpus": ["a.txt"]}
SETTINGS |= {"model_license": None}
PRINTS = {"corpus": "c", "tokenizer": "t", "source": "s"}
PHASE = Phase("phase1", ("all",), 10, 1e-3)


@pytest.fixture
def run(tmp_path) -> Run:
    made = Run(tmp_path / "run")
    made.start(SETTINGS, PRINTS)
    return made


def test_same_settings_go_on_and_those_that_change_no_result_may_change(run):
    free = {"logging_steps": 5, "save_steps": 7, "report_to": ["tensorboard"], "dataloader_num_workers": 2}
    free["model_license"] = "mit"
    run.check_settings({**SETTINGS, **free, "unknown_to_the_first_start": 1})
    run.start(SETTINGS, PRINTS)


def test_an_option_that_came_later_is_refused_where_it_is_not_the_default(run):
    later = {**SETTINGS, "came_later": 2}
    run.check_settings(later, chosen={"learning_rate"})
    with pytest.raises(XPTError, match=r"other settings: came_later \(default -> 2\)"):
        run.check_settings(later, chosen={"came_later"})


def test_changed_settings_are_refused_by_name_and_nothing_is_written(run):
    before = {file: file.read_bytes() for file in run.folder.rglob("*")}
    with pytest.raises(XPTError) as error:
        run.check_settings({**SETTINGS, "seed": 2, "corpus": ["b.txt"]})
    assert "seed (1 -> 2)" in str(error.value) and "corpus (['a.txt'] -> ['b.txt'])" in str(error.value)
    assert "learning_rate" not in str(error.value) and "\n" not in str(error.value)
    assert {file: file.read_bytes() for file in run.folder.rglob("*")} == before


def test_a_run_in_bf16_is_refused_where_the_hardware_has_none(tmp_path, monkeypatch):
    made = Run(tmp_path / "run")
    made.start({**SETTINGS, "bf16": True}, PRINTS)
    monkeypatch.setattr("xpt.run.folder.has_fast_bf16", lambda use_cpu: True)
    made.check_settings({**SETTINGS, "bf16": True})
    monkeypatch.setattr("xpt.run.folder.has_fast_bf16", lambda use_cpu: False)
    for now in (True, False):
        with pytest.raises(XPTError, match="a run in bf16, and this hardware has no bfloat16"):
            made.check_settings({**SETTINGS, "bf16": now})


@pytest.mark.parametrize("what", PRINTS)
def test_changed_text_tokenizer_or_source_is_refused(run, what):
    with pytest.raises(XPTError, match=what):
        run.start(SETTINGS, {**PRINTS, what: "other"})


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("x")
    with pytest.raises(XPTError, match="is not empty and holds no run"):
        Run(tmp_path / "thesis").check_settings(SETTINGS)
    (tmp_path / "file").write_text("x")
    with pytest.raises(XPTError, match="is not empty"):
        Run(tmp_path / "file").check_settings(SETTINGS)


def test_what_a_killed_first_start_leaves_is_no_obstacle_and_goes(tmp_path):
    (tmp_path / ".run.json.staging-17").write_text("{")
    leftover = Run(tmp_path)
    leftover.check_settings(SETTINGS)
    leftover.start(SETTINGS, PRINTS)
    leftover.start(SETTINGS, PRINTS)
    assert {file.name for file in tmp_path.iterdir()} == {".lock", "run.json"}


def test_a_finished_run_is_shown_on_any_hardware_and_an_unfinished_one_not_continued(tmp_path):
    made, here = Run(tmp_path / "run"), {**SETTINGS, "world_size": 1, "use_cpu": True}
    made.start(here, PRINTS)
    with pytest.raises(XPTError, match=r"world_size \(1 -> 2\)"):
        made.check_settings({**here, "world_size": 2})
    made.finish({"test": {}})
    made.check_settings({**here, "world_size": 2, "use_cpu": False})
    with pytest.raises(XPTError, match=r"seed \(1 -> 2\)"):
        made.check_settings({**here, "seed": 2})


def test_a_damaged_record_is_named(run):
    (run.folder / "run.json").write_text("{")
    with pytest.raises(XPTError, match=r"run\.json is damaged"):
        run.check_settings(SETTINGS)


def test_the_log_is_rewound_to_the_step_that_training_goes_on_from(run):
    for step in (2, 4, 6):
        run.log({"phase": "phase0", "step": step, "loss": 1.0})
        run.log({"phase": "phase1", "step": step, "loss": 1.0})
    with open(run.log_file, "a") as file:
        file.write('{"phase": "phase1", "st')  # what a crash leaves
    run.rewind_log(PHASE.name, 4)
    kept = [(entry["phase"], entry["step"]) for entry in run.read_log()]
    assert kept == [("phase0", 2), ("phase1", 2), ("phase0", 4), ("phase1", 4), ("phase0", 6)]


def save_checkpoint(run, step):
    def write(folder):
        for name in ("model.safetensors", "optimizer.safetensors", "optimizer.json", "rng-0.json"):
            (folder / name).write_text("x")

    run.checkpoints.save(PHASE.name, step, write, keep=2, expected_bytes=1)


def test_finished_means_results_and_checkpoints_without_optimizer(run):
    for step in (5, 10):
        save_checkpoint(run, step)
    assert not run.finished
    run.finish({"test": {"loss": 1.0}})
    assert run.finished and run.results() == {"test": {"loss": 1.0}}
    left = sorted(str(file.relative_to(run.folder)) for file in run.folder.rglob("*") if file.is_file())
    kept = [f"checkpoints/phase1/checkpoint-10/{name}" for name in ("manifest.json", "model.safetensors")]
    assert left == [".lock", *kept, "results.json", "run.json"]
    verify(run.folder / "checkpoints" / "phase1" / "checkpoint-10")


class Killed(BaseException):
    """Ends the program, as far as it can tell."""


def killing(monkeypatch, n: int) -> list[str]:
    """Before the n-th change of the file system the program is killed; gives back what it did."""
    done: list[str] = []
    for owner, name in ((Path, "unlink"), (os, "rename"), (os, "replace"), (shutil, "rmtree")):
        real = getattr(owner, name)

        def change(*args, name=name, real=real, **kwargs):
            done.append(name)
            if len(done) == n:
                raise Killed
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, change)
    return done


def test_killed_anywhere_while_it_is_tidied_a_finished_run_is_tidied_by_the_next_start(tmp_path):
    for n in itertools.count(1):
        run = Run(tmp_path / str(n))
        run.start(SETTINGS, PRINTS)
        for step in (5, 10):
            save_checkpoint(run, step)
        write_json_atomically(run.results_file, {"test": {}})
        with pytest.MonkeyPatch.context() as patch:
            done = killing(patch, n)
            with contextlib.suppress(Killed):
                run.tidy()
        run.close()
        again = Run(run.folder)
        if again.checkpoints.pointer.exists():
            again.tidy()
        again.close()
        left = sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file())
        final = "checkpoints/phase1/checkpoint-10"
        assert left == [
            ".lock",
            f"{final}/manifest.json",
            f"{final}/model.safetensors",
            "results.json",
            "run.json",
        ]
        assert set(verify(run.folder / final)["files"]) == {"model.safetensors"}
        if len(done) < n:
            break
    assert n > 6  # each training file, the folder before, the manifest, the pointer


def test_a_rank_that_does_not_write_writes_nothing(tmp_path):
    silent = Run(tmp_path / "run", writes=False)
    silent.start(SETTINGS, PRINTS)
    silent.record("before", {})
    silent.log({"phase": "phase1", "step": 1})
    silent.finish({})
    assert not (tmp_path / "run").exists()


def test_progress_adds_up(run):
    run.record("before", {"eval_loss": 2.0})
    run.record("phase1", {"eval_loss": 1.0})
    assert run.progress() == {"before": {"eval_loss": 2.0}, "phase1": {"eval_loss": 1.0}}
    assert json.loads((run.folder / "run.json").read_text())["content"]["settings"] == {
        "seed": 1,
        "learning_rate": 1e-4,
        "corpus": ["a.txt"],
    }


@pytest.mark.parametrize("shown", ["--hub_token hf_secret --seed 1", "--seed 1 --hub_token=hf_secret"])
def test_a_token_never_reaches_the_record(shown):
    command = describe_command("/somewhere/train_xpt.py", shown.split())
    assert "hf_secret" not in command and "--seed 1" in command and command.startswith("python train_xpt.py ")


def test_an_undefined_score_is_null_in_the_log(tmp_path):
    run = Run(tmp_path)
    run.log({"phase": "a", "step": 1, "eval_score": float("nan"), "loss": 2.0})
    assert run.log_file.read_text() == '{"phase": "a", "step": 1, "eval_score": null, "loss": 2.0}\n'
    assert run.read_log() == [{"phase": "a", "step": 1, "eval_score": None, "loss": 2.0}]
