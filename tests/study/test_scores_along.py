"""Scores along the way, and budgets of minutes and of validation: whole tiny studies."""

import csv
import json

import matplotlib.image
import pytest
from klue_runs import nli_file
from places import REPO

from studies import study, write_study
from xpt.run.folder import Run
from xpt.study.measures import collect_records, load
from xpt.study.plan import plan_runs
from xpt.study.settings import read_study


@pytest.fixture(autouse=True)
def project_is_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPO))


def tiny(data) -> dict:
    """A fine-tuning of seconds."""
    return {
        "seeds": [1], "train_file": str(data), "validation_file": str(data), "num_train_epochs": 1,
        "max_seq_length": 32, "bf16": "false",
    }  # fmt: skip


def accuracy(step) -> float:
    return Run(step.folder).results()["metrics"]["nli/accuracy"]


@pytest.mark.slow
def test_a_task_is_scored_along_the_way_and_the_table_shows_the_end(options, tmp_path, capsys):
    """8 steps in two phases: after step 2, after step 6, and at the end."""
    measured = {**tiny(nli_file(tmp_path / "klue-nli-v1.1_train.json")), "at": [0.75, 0.25, 1]}
    path = write_study(
        tmp_path,
        options(num_fills=0),
        axes={"seed": [1]},
        measure={"nli": measured},
        question="Do they part?",
    )
    assert study("run", path, "--store", tmp_path / "stored.json") == 0
    (run,) = plan_runs(read_study(path))
    assert [step.at for step in run.tunings] == [2, 6, None]
    assert len({step.folder for step in run.tunings}) == 3
    kept = run.train.folder / "checkpoints" / "kept"
    assert sorted(folder.name for folder in kept.iterdir()) == ["step-2", "step-6"]
    for step, name in zip(run.tunings, ("kept/step-2", "kept/step-6", None), strict=True):
        model = Run(step.folder).results()["settings"]["model_name_or_path"]
        assert model.endswith(name or "/model")

    (record,) = collect_records(read_study(path)).records
    phases = Run(run.train.folder).results()["phases"]
    tokens = [phase["tokens"] for phase in phases]
    places = [tokens[0] / 2, tokens[0] + tokens[1] / 2, sum(tokens)]
    means = list(map(accuracy, run.tunings))
    assert record.along["nli/accuracy"] == [(round(t), s) for t, s in zip(places, means, strict=True)]
    assert record.figures["nli/accuracy"] == means[-1]
    assert [round(t) for t in (0, places[0], tokens[0], *places[1:])] == [t for t, _ in record.evaluated]
    stored = load(tmp_path / "stored.json")
    assert (stored.question, stored.command) == ("Do they part?", f"xpt study run {path}")
    assert json.loads(json.dumps(stored.records[0].along)) == {
        name: [list(point) for point in points] for name, points in record.along.items()
    }
    table = csv.DictReader((tmp_path / "studies" / "tiny" / "table.csv").read_text("utf-8").splitlines())
    (line,) = [line for line in table if line["measure"] == "nli/accuracy"]
    assert line["values"] == f"1:{means[-1]!r}"
    capsys.readouterr()

    # A panel more than without: of the same numbers, drawn again from the stored file.
    without = json.loads((tmp_path / "stored.json").read_text("utf-8"))
    without["records"][0]["along"] = {}
    (tmp_path / "without.json").write_text(json.dumps(without))
    shapes = []
    for name in ("stored", "without"):
        assert study("show", tmp_path / f"{name}.json", "--output_dir", tmp_path / name) == 0
        shapes.append(matplotlib.image.imread(tmp_path / name / "figure.png").shape)
    metrics = [name for name in record.figures if not name.startswith("loss/")]
    assert len(record.along) == len(metrics) and shapes[0] >= shapes[1]


def test_a_run_keeps_its_name_where_nothing_is_asked_along_the_way(options, tmp_path):
    def keys(**changes):
        return [run.key for run in plan_runs(read_study(write_study(tmp_path, options(), **changes)))]

    plain = keys()
    assert keys(measure={"nli": {"at": 1}}) == keys(question="Why?") == plain
    (first, *_) = plan_runs(read_study(write_study(tmp_path, options())))
    assert "keep_at" not in first.settings
    along = keys(measure={"nli": {"at": [0.5]}})
    assert not set(along) & set(plain)
    assert keys(measure={"nli": {"at": [0.5]}, "sts": {"at": 0.5}}) == along


@pytest.mark.slow
def test_a_budget_of_minutes_is_steps_by_the_speed_that_was_measured_once(options, tmp_path, capsys):
    """Twice the minutes are twice the steps, in the proportion of the phases, by the stored seconds."""
    changes = {"phase1_steps": 30, "phase2_steps": 10, "num_fills": 0}
    path = write_study(tmp_path, options(**changes), axes={"seed": [1]}, budget={"minutes": 0.02})
    assert study("show", path) == 2
    assert "how fast it trains is not measured yet; xpt study estimate does" in capsys.readouterr().err
    assert not (tmp_path / "studies").exists()
    assert study("run", path) == 0
    shown = capsys.readouterr().out
    file = tmp_path / "studies" / "paces.json"
    (pace,) = json.loads(file.read_text("utf-8"))["content"].values()
    assert pace["threads"] == 1 and "hardware" in pace
    runs, written = plan_runs(read_study(path)), file.read_bytes()
    share = 60 * 0.02 / pace["seconds"]
    for run in runs:
        steps = [phase["steps"] for phase in Run(run.train.folder).results()["phases"]]
        assert steps == [round(30 * share), round(10 * share)]
    records = collect_records(read_study(path)).records
    taken = [record.minutes for record in records]
    assert f"Training took {min(taken):.3g} to {max(taken):.3g} of 0.02 minutes." in shown
    seconds = Run(runs[0].train.folder).results()["seconds"]
    assert taken[0] == pytest.approx((seconds["phase1"] + seconds["phase2"]) / 60, abs=1e-3)

    # Another seed and other minutes measure nothing anew.
    twice = write_study(tmp_path, options(**changes), "twice", axes={"seed": [2]}, budget={"minutes": 0.04})
    (run,) = plan_runs(read_study(twice))
    assert file.read_bytes() == written
    words = run.train.words
    assert words[words.index("--phase1_steps") + 1] == str(round(2 * 30 * share))


@pytest.mark.slow
def test_validation_may_end_each_phase(options, tmp_path, capsys):
    budget = {"until": "validation", "every": 2, "patience": 1, "least": 5.0}
    path = write_study(
        tmp_path, options(phase1_steps=8, phase2_steps=4, num_fills=0), axes={"seed": [1]}, budget=budget
    )
    assert study("run", path) == 0
    assert "Validation ended a phase before its last step in 1 of them." in capsys.readouterr().out
    (run,) = plan_runs(read_study(path))
    phases = Run(run.train.folder).results()["phases"]
    assert [(phase["steps"], phase.get("most_steps")) for phase in phases] == [(4, 8), (4, 4)]
    assert {phase["lr_scheduler_type"] for phase in phases} == {"constant_with_warmup"}
    (record,) = collect_records(read_study(path)).records
    assert record.early == 1 and [tokens for tokens, _ in record.evaluated][-1] == record.tokens
