"""Models kept along a run, and phases that validation ends: the same steps, exact after any stop."""

import json
import signal

import pytest
import torch
from tiny_runs import assert_equal_runs, losses, run, stop_after, weights

import xpt.training.trainer
from train_xpt import main
from xpt.run.folder import Run
from xpt.training.along import Until, kept_steps

FLAT = {"lr_scheduler_type": "constant_with_warmup", "phase1_steps": 12, "phase2_steps": 8}
# No evaluation is better by 5 nats than the first, so that each phase ends with its third.
UNTIL = {"every": 2, "patience": 2, "least": 5.0}


def ending(options, **changes):
    phases = [{"name": "phase1", "train": "new"}, {"name": "phase2", "train": "all"}]
    listed = json.dumps([{**phase, "until": {**UNTIL, **changes}} for phase in phases])
    return options(**FLAT, phases=listed, save_steps=100, logging_steps=1)


def kept(folder):
    return sorted(path.name for path in (folder / "checkpoints" / "kept").iterdir())


@pytest.mark.parametrize(
    ("shares", "steps", "expected"),
    [([0.5, 0.25], 8, [2, 4]), ([0.5, 0.51, 1.0], 8, [4]), ([0.01], 8, [1]), ([0.99], 8, []), ([], 8, [])],
)
def test_shares_are_the_nearest_steps_each_once(shares, steps, expected):
    assert kept_steps(shares, steps) == expected


def test_kept_models_change_nothing_and_are_those_of_their_steps(options, tmp_path):
    """Steps 3 (of phase 1), 4 (its end) and 6 (of phase 2): the checkpoint of that step has the weights."""
    plain = run(options(save_steps=1, save_total_limit=100), tmp_path / "plain")
    asked = ["--keep_at", "0.375", "0.5", "0.75"]
    ours = run([*options(save_steps=100), *asked], tmp_path / "kept")
    assert kept(ours) == ["step-3", "step-4", "step-6"]
    assert all(torch.equal(tensor, weights(ours)[name]) for name, tensor in weights(plain).items())
    at_end = weights(plain / "checkpoints" / "phase1" / "checkpoint-4")
    held = weights(ours / "checkpoints" / "kept" / "step-4")
    assert all(torch.equal(tensor, held[name]) for name, tensor in at_end.items())
    assert not any(torch.equal(weights(ours)[name], held[name]) for name in held if "word_emb" in name)
    scored = {(phase, step) for phase, step, _, loss in losses(ours) if loss is not None}
    assert scored == {("phase1", 3), ("phase2", 2)}
    assert [entry for entry in losses(ours) if entry[3] is None] == losses(plain)


def test_what_a_stop_leaves_out_is_kept_by_the_next_start(options, tmp_path, monkeypatch):
    """SIGTERM in the step that is kept, and SIGKILL's like behind it: kept models are of the run's end."""
    arguments = [*options(save_steps=3), "--keep_at", "0.25", "0.375", "0.625"]
    whole, folder = run(arguments, tmp_path / "whole"), tmp_path / "run"
    stop_after(monkeypatch, ("phase1", 2), ("phase2", 1))
    assert [main([*arguments, "--output_dir", str(folder)]) for _ in range(3)] == [143, 143, 0]
    assert_equal_runs(folder, whole)
    assert kept(folder) == kept(whole) == ["step-2", "step-3", "step-5"]
    for name in kept(whole):
        one, other = (weights(place / "checkpoints" / "kept" / name) for place in (folder, whole))
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items())


@pytest.mark.parametrize(
    ("losses", "over"),
    [
        ([5.0, 4.0, 3.0], False),
        ([5.0, 4.0, 3.95, 3.95], True),  # 3.95 is less than 0.1 better, twice
        ([5.0, 4.95, 4.85, 4.8], False),  # 4.85 is, below the best that counted
        ([5.0, 5.0, 4.0, 4.0], False),  # only once in a row
        ([5.0, 5.0, 5.0], True),
        ([], False),
    ],
)
def test_a_phase_is_over_after_two_evaluations_that_are_not_better(losses, over):
    history = [{"eval_loss": loss, "step": 10 * n} for n, loss in enumerate(losses, 1)]
    history += [
        {"loss": 9.0, "step": 1},
        *({"eval_loss": 99.0, "step": step} for step in (11, 12)),
    ]  # of another occasion
    assert Until(every=10, patience=2, least=0.1).reached(sorted(history, key=lambda e: e["step"])) is over


@pytest.fixture(scope="module")
def ended(options, tmp_path_factory):
    return run(ending(options), tmp_path_factory.mktemp("ended") / "run")


def test_a_phase_that_ends_early_is_recorded_and_the_next_one_reads_on(ended, options, tmp_path):
    """Of 12 and 8 steps 6 each; the same steps are trained where 6 each are planned."""
    results = Run(ended).results()
    assert [(phase["steps"], phase["most_steps"]) for phase in results["phases"]] == [(6, 12), (6, 8)]
    assert results["phases"][0]["until"] == UNTIL
    # The warm-up is a share of the steps planned: none, so that the two are the same.
    flat = {**FLAT, "warmup_steps": 0}
    shorter = {**flat, "phase1_steps": 6, "phase2_steps": 6}
    planned = run(options(**shorter, save_steps=100, logging_steps=1), tmp_path / "planned")
    found = run([*ending(options), "--warmup_steps", "0"], tmp_path / "found")
    assert all(torch.equal(tensor, weights(planned)[name]) for name, tensor in weights(found).items())
    assert Run(found).results()["phases"][1]["tokens"] == Run(planned).results()["phases"][1]["tokens"]


def test_a_phase_that_goes_on_improving_ends_with_its_steps(options, tmp_path):
    results = Run(run(ending(options, patience=9), tmp_path / "run")).results()
    assert [phase["steps"] for phase in results["phases"]] == [12, 8]


@pytest.mark.parametrize(
    "when",
    [
        ("phase1", 6),
        ("phase2", 3),
        *(pytest.param(when, marks=pytest.mark.slow) for when in (("phase1", 5), ("phase2", 6))),
    ],
)
def test_it_ends_at_the_same_step_after_a_stop(options, ended, tmp_path, monkeypatch, when):
    """Also in the step that is the last, in its evaluation, and between the end and its record."""
    arguments, folder = ending(options), tmp_path / "run"
    stop_after(monkeypatch, when)
    assert [main([*arguments, "--output_dir", str(folder)]) for _ in range(2)] == [143, 0]
    assert_equal_runs(folder, ended)


def test_a_stop_in_the_last_evaluation_waits_for_it(options, ended, tmp_path, monkeypatch):
    arguments, folder = ending(options), tmp_path / "run"
    evaluate, calls = xpt.training.trainer.evaluate_mlm, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGTERM)
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(xpt.training.trainer, "evaluate_mlm", interrupted)
    assert [main([*arguments, "--output_dir", str(folder)]) for _ in range(2)] == [143, 0]
    assert_equal_runs(folder, ended)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keep_at": 1.0}, "--keep_at: give shares between 0 and 1"),
        ({"keep_at": 0}, "--keep_at: give shares between 0 and 1"),
        ({"keep_at": 0.5, "until": UNTIL}, "--keep_at takes shares of the steps"),
        ({"until": {"patience": 2}}, "until has every, and may have patience and least"),
        ({"until": {"every": 0}}, "every and patience of at least 1"),
        ({"until": UNTIL, "lr_scheduler_type": "linear"}, "until needs a rate that does not fall"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_written(options, tmp_path, capsys, changes, said):
    until = changes.pop("until", None)
    listed = [{"name": "phase1", "train": "new", **({"until": until} if until else {})}]
    arguments = options(**{**FLAT, "phase2_steps": None, "phases": json.dumps(listed), **changes})
    assert main([*arguments, "--output_dir", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()
