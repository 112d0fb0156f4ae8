"""A dry run: the numbers are those of the run, the folder is not touched, nothing is disturbed."""

import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import wcwidth
from tiny_runs import run as run_all

from train_xpt import main
from xpt.program.errors import XPTError
from xpt.run.dry_run import PhasePlan, _times, check_dry_run, disk_bytes
from xpt.run.probe import MEASURED_STEPS, WARM_UP_STEPS, StepCost, _StepTimer
from xpt.run.progress import PhaseProgress
from xpt.text.masking import MLMCollator
from xpt.text.morphemes import WordFile
from xpt.text.tokenizer import load_tokenizer
from xpt.training.checkpoints import Checkpoints
from xpt.training.phases import Phase


def dry(flags, folder, capsys) -> str:
    """What a dry run prints, in one line of single spaces."""
    capsys.readouterr()
    assert main([*flags, "--output_dir", str(folder), "--dry_run", "true"]) == 0
    text = capsys.readouterr().out
    assert all(wcwidth.width(line) <= 100 for line in text.splitlines()), text
    return " ".join(text.split())


def numbers(pattern: str, text: str) -> list[int]:
    found = re.search(re.sub(r"N", r"([\\d,]+)", pattern), text)
    assert found, f"{pattern!r} not in {text}"
    return [int(group.replace(",", "")) for group in found.groups()]


def state_of(folder: Path) -> dict:
    return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def generators() -> dict:
    numpy = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (numpy[1].tolist(), numpy[2]),
        "torch": torch.get_rng_state().tolist(),
    }


def test_memory_is_measured_at_the_largest_share_of_masks_and_the_plan_says_so(
    options, tmp_path, monkeypatch, capsys
):
    seen = set()
    collate = MLMCollator.__call__

    def look(self, rows):
        if self.seed == 42:  # not that of evaluation
            seen.add(self.mlm_probability)
        return collate(self, rows)

    monkeypatch.setattr(MLMCollator, "__call__", look)
    flags = options(phase2_learning_rate=1e-3, learning_rates='{"itl": 2.0}')
    shares = ["--phase1_mlm_probability", "0.1", "0.45", "--phase2_mlm_probability", "0.3", "0.2"]
    text = dry([*flags, *shares], tmp_path / "mine", capsys)
    assert seen == {0.45, 0.3}
    assert "masks 10 to 45 % of the tokens learning rate of itl x 2" in text


def test_it_and_the_results_say_who_cuts_words(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = tmp_path / "words.txt"
    words.write_text("국회 는\n정부 는\n", encoding="utf-8")
    identity = WordFile(words).identity
    flags = options("roberta", phase1_steps=1, phase2_steps=1, tokenizer_morphemes=words)
    assert identity in " ".join(dry(flags, "out/mine", capsys).split())
    folder = run_all(flags, Path("out/mine"))
    assert json.loads((folder / "results.json").read_text())["tokenizer"]["morphemes"] == identity
    words.unlink()  # who loads the model does not need it
    assert "▁국회는" not in load_tokenizer(folder).get_vocab()


def test_its_numbers_are_those_of_the_run(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = options("roberta", phase2_steps=6, save_steps=2)
    before = generators()
    text = dry(flags, "out/mine", capsys)
    assert [name for name, state in generators().items() if state != before[name]] == []
    assert not list(tmp_path.iterdir())
    assert "dry run of out/mine: nothing is written there" in text

    most = []
    listing = Checkpoints._list

    def measure(self, entries):  # the new checkpoint stands, and what it replaces stands too
        most.append(sum(file.stat().st_size for file in self.folder.parent.rglob("*") if file.is_file()))
        listing(self, entries)

    monkeypatch.setattr(Checkpoints, "_list", measure)
    folder = run_all(flags, Path("out/mine"))
    results = json.loads((folder / "results.json").read_text())
    splits = results["corpus"]["splits"]
    assert numbers("text N train, N validation, N test sentences; N training tokens", text) == [
        *(splits[split]["sentences"] for split in ("train", "validation", "test")),
        results["tokenizer"]["train_tokens"],
    ]
    assert numbers("tokenizer N pieces", text) == [results["tokenizer"]["vocab_size"]]
    parameters = sum(results["parameters"].values())
    for phase in results["phases"]:
        told = text[text.index(f" {phase['name']} ") :]
        steps, rows, tokens = numbers(rf"^ {phase['name']} N steps of N rows: about N tokens", told)
        assert (steps, rows) == (phase["steps"], 4)
        padding = steps * rows * 32 - min(tokens, phase["tokens"])
        assert 0 < tokens <= steps * rows * 32 and abs(tokens - phase["tokens"]) <= padding
        trained, of, frozen = numbers("trains N of N parameters, N are frozen", told)
        assert (trained, of, frozen) == (phase["trainable_parameters"], parameters, parameters - trained)
        kib = [round(4 * count / 1024) for count in (parameters, trained)]
        assert numbers("memory: weights N KiB, gradients N KiB", told) == kib
        (optimizer,) = numbers("optimizer N KiB", told)
        assert abs(optimizer - 8 * trained / 1024) <= 1  # two moments, and a counter for each tensor
        groups = [numbers(rf"{group} N", told)[0] for group in ("word_embeddings", "itl")]
        assert groups == [results["parameters"][group] for group in ("word_embeddings", "itl")]
    end = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    told_most, told_end = numbers("disk up to N MiB, N MiB when finished", text)
    assert max(most) <= told_most * 2**20 and end <= told_end * 2**20


def test_it_says_what_is_done_and_touches_nothing(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags, folder = options("roberta"), Path("run")
    step_end = PhaseProgress.on_step_end

    def interrupt(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        if (self.phase, state.global_step) == ("phase2", 3):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PhaseProgress, "on_step_end", interrupt)
        assert main([*flags, "--output_dir", str(folder)]) == 130
    before = state_of(folder)
    text = dry(flags, folder, capsys)
    assert re.search(r"phase1 4 steps of [^;]*; finished", text)
    assert re.search(r"phase2 4 steps of [^;]*; goes on from step 2 ", text)
    assert "evaluation 1 of the validation split" in text
    assert state_of(folder) == before

    run_all(flags, folder)
    before = state_of(folder)
    text = dry(flags, folder, capsys)
    assert "dry run: run is finished, a start prints this and changes nothing" in text and "test loss" in text
    assert state_of(folder) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"corpus": "missing.txt"}, "missing.txt"),
        ({"source_num_layers": 9}, "--source_num_layers is 9"),
        ({"output_dir": "file/run"}, "--output_dir file/run: file cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    options, tmp_path, monkeypatch, capsys, changes, message
):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main(options(**{"output_dir": "run", "dry_run": "true", **changes})) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_several_processes_are_refused_by_name():
    recipe = SimpleNamespace(training=SimpleNamespace(world_size=2, output_dir="run"))
    with pytest.raises(XPTError, match=r"^--dry_run true measures a single process; .*, not by torchrun$"):
        check_dry_run(recipe)


@pytest.mark.parametrize(
    ("slow", "expected"), [(0.5, MEASURED_STEPS), (40.0, 2), (100.0, 1)]
)  # seconds a step
def test_warm_up_steps_are_not_measured_and_slow_steps_fewer(monkeypatch, slow, expected):
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr("xpt.run.probe.time", clock)
    timer, control = _StepTimer(), SimpleNamespace(should_training_stop=False)
    arguments = SimpleNamespace(device=torch.device("cpu"))
    steps = 0
    while not control.should_training_stop:
        clock.now += 1000.0 if steps < WARM_UP_STEPS else slow
        timer.on_step_end(arguments, None, control)
        steps += 1
    assert timer.seconds == [slow] * expected


@pytest.mark.parametrize(
    ("steps", "every", "times"), [(10, 3, 3), (10, 500, 0), (10, 0.25, 3), (8, 0.25, 4), (10, None, 0)]
)
def test_what_is_due_every_so_many_steps_or_each_share_of_them(steps, every, times):
    assert _times(steps, every) == times


def plan(size: int, saves: int) -> PhasePlan:
    phase = Phase("a", ("all",), 10, 1e-3)
    return PhasePlan(phase, 0, 0, 0.0, {}, size, saves, 0, StepCost(1.0, 10, 0, 0, 0, 0))


def test_disk_counts_what_stands_at_the_worst_moment():
    # Step 0 and the result, two kept checkpoints and the one being written; then one of the phase before.
    assert disk_bytes([plan(30, 5)], weights=10, limit=2) == (20 + 3 * 30, 30)
    assert disk_bytes([plan(30, 5), plan(50, 5)], weights=10, limit=2) == (20 + 30 + 3 * 50, 40)
    # Much larger checkpoints before: both of them stand beside the first two of the new phase.
    assert disk_bytes([plan(90, 5), plan(50, 5)], weights=10, limit=2) == (20 + 2 * 90 + 2 * 50, 40)
    assert disk_bytes([plan(30, 5)], weights=10, limit=None)[0] > 20 + 5 * 30
