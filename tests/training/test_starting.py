"""Phases that branch and merge: what each starts from, however often the run was stopped in between."""

import json

import pytest
import torch
from tiny_runs import assert_equal_runs, run, stop_after, weights

from train_xpt import main
from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe
from xpt.training.notes import phase_notes
from xpt.training.parts import Parts
from xpt.training.phases import read_phase
from xpt.training.starting import StartFrom
from xpt.transplant.parameter_groups import parameter_group

MERGE = {"encoder.bottom1": "below", "encoder.top1": ["above"], "all": ["above", "below"]}
PHASES = [
    {"name": "common", "train": "new", "steps": 3},
    {"name": "above", "train": ["encoder.top2", "word_embeddings"], "steps": 3},
    {"name": "below", "start_from": "common", "train": "encoder.bottom2", "steps": 3},
    {"name": "last", "start_from": MERGE, "train": "lm_head_bias", "steps": 2},
]
ENDS = {phase["name"]: phase["steps"] for phase in PHASES}


def flags(options, **settings):
    phases = json.dumps(PHASES)
    given = {"phase1_steps": None, "phase2_steps": None, "save_steps": 1, "num_fills": 1, **settings}
    return options(phases=phases, **given)


@pytest.fixture(scope="module")
def finished(options, tmp_path_factory):
    return run(flags(options), tmp_path_factory.mktemp("branched") / "run")


def end(folder, phase):
    return weights(folder / "checkpoints" / phase / f"checkpoint-{ENDS[phase]}")


def test_each_phase_starts_from_what_it_names(finished):
    common, above, below, last = (end(finished, phase) for phase in ENDS)
    for name, tensor in last.items():
        match parameter_group(name):
            case "encoder.0":
                assert torch.equal(tensor, below[name]) and not torch.equal(tensor, above[name])
            case "encoder.2":
                assert torch.equal(tensor, above[name]) and not torch.equal(tensor, below[name])
            case "lm_head_bias":
                assert not torch.equal(tensor, common[name])
            case group:
                assert torch.equal(tensor, ((above[name].double() + below[name].double()) / 2).float())
                trained = group in ("encoder.1", "word_embeddings")
                if not name.endswith("attention.self.key.bias"):  # softmax does not depend on it
                    assert torch.equal(tensor, common[name]) != trained
        if parameter_group(name) not in ("encoder.0", "encoder.1"):
            assert torch.equal(below[name], common[name]), name
    results = json.loads((finished / "results.json").read_text())
    assert [phase.get("start_from") for phase in results["phases"]] == [
        *(None, None, "common"),
        {"encoder.0": ["below"], "encoder.2": ["above"], "all": ["above", "below"]},
    ]
    assert phase_notes(results["phases"][2]) == ["starts from the end of common"]
    assert "all of above and below" in phase_notes(results["phases"][3])[0]


@pytest.mark.parametrize(
    "points",
    [
        [("above", 3), ("below", 1), ("last", 1)],
        pytest.param([("common", 2), ("above", 1), ("below", 3), ("last", 2)], marks=pytest.mark.slow),
    ],
)
def test_stopped_in_every_phase_the_run_ends_bit_equal(options, finished, tmp_path, monkeypatch, points):
    stop_after(monkeypatch, *points)
    command = [*flags(options), "--output_dir", str(tmp_path / "run")]
    assert [main(command) for _ in points] == [143] * len(points) and main(command) == 0
    assert_equal_runs(tmp_path / "run", finished)


@pytest.mark.parametrize("damaged", ["above", "common"])
def test_an_origin_that_was_damaged_is_trained_again(
    options, finished, tmp_path, monkeypatch, damaged, capsys
):
    stop_after(monkeypatch, ("below", 1))
    command = [*flags(options), "--output_dir", str(tmp_path / "run")]
    assert main(command) == 143
    (tmp_path / f"run/checkpoints/{damaged}/checkpoint-3/model.safetensors").write_bytes(b"no weights")
    assert main(command) == 0
    # Nothing starts from `common` any more once those that do have checkpoints.
    assert ("is damaged" in capsys.readouterr().err) == (damaged == "above")
    assert_equal_runs(tmp_path / "run", finished)


def test_a_merge_of_one_model_with_itself_is_that_model(finished):
    folders = {name: finished / f"checkpoints/above/checkpoint-{ENDS['above']}" for name in "abc"}
    start = StartFrom.read({"encoder.0": "b", "all": ["a", "b", "c"]}).weights(folders)
    assert all(torch.equal(tensor, end(finished, "above")[name]) for name, tensor in start.items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_from": "later"}, "'second': start_from names 'later', which is no phase before it; give "
         "initial, first"),
        ({"start_from": {"encoder.0": "first"}}, "start_from leaves out some groups; .* such as all: first"),
        ({"start_from": {"head": "first", "all": "first"}}, "start_from: unknown parameter group 'head'"),
        ({"start_from": 3}, "start_from is 3; give a phase's name"),
        ({"start_from": {"all": []}}, "start_from of all is"),
        ({"start_from": "first", "rewarm": False}, "start_from contradicts rewarm: false"),
    ],
)  # fmt: skip
def test_a_start_that_cannot_be_meant_is_refused(changes, message):
    first = {"name": "first", "train": "new", "steps": 1, "learning_rate": 1e-3}
    second = {"name": "second", "train": "all", "steps": 1, "learning_rate": 1e-3, **changes}
    with pytest.raises(XPTError, match=message):
        Recipe(phase_list=[first, second]).planned_phases()


def test_of_the_stages_of_an_unfreezing_the_first_one_branches():
    values = {"name": "out", "train": "new", "steps": 9, "unfreeze": "top_down", "start_from": "initial"}
    stages = read_phase(values, {"learning_rate": 1e-3}, Parts(layers=3))
    assert [stage.start_from and stage.start_from.to_record() for stage in stages] == ["initial", None, None]


def test_adapters_are_no_start():
    first = {"name": "first", "train": ["new", "lora"], "lora": {"r": 2}, "steps": 1, "learning_rate": 1e-3}
    second = {"name": "second", "train": "all", "steps": 1, "learning_rate": 1e-3, "start_from": "first"}
    with pytest.raises(XPTError, match="which trains adapters"):
        Recipe(phase_list=[first, second]).planned_phases()


def test_halves_of_a_model_are_its_layers():
    start = StartFrom.read({"encoder.lower": "below", "all": "initial"}).settled(Parts(layers=4), "phase 'a'")
    assert start.origins == {"encoder.0": ("below",), "encoder.1": ("below",), "all": ("initial",)}
    assert start.phases == ("below",)
