"""A study becomes runs: what is refused before anything runs, and what a run's name hangs on."""

import json
import re
import shlex
from pathlib import Path

import pytest
from places import REPO

from studies import AXES, study, write_study
from xpt.evaluate.command import make_parser as evaluate_parser
from xpt.finetune.command import read_plan
from xpt.recipe.command_line import METHODS, read_recipe
from xpt.study.plan import plan_runs
from xpt.study.settings import read_study


@pytest.fixture
def planned(options, tmp_path):
    """Give `planned(**changes)` the runs of a study."""

    def make(name="tiny", flags=(), **changes):
        return plan_runs(read_study(write_study(tmp_path, [*options(), *flags], name, **changes)))

    return make


def flag(run, name):
    words = run.train.words
    return words[words.index(f"--{name}") + 1]


def test_every_combination_is_a_run(planned):
    runs = planned()
    assert [run.labels for run in runs] == [
        {"embedding_init": init, "seed": seed} for init in ("random", "matched") for seed in ("1", "2")
    ]
    assert [run.seed for run in runs] == [1, 2, 1, 2]
    assert len({run.train.folder for run in runs}) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axis": {}}, "unknown entry 'axis'; a study has question, base, axes,"),
        ({"axes": None}, "a study has base and axes; axes is missing"),
        ({"base": None}, "a study has base and axes; base is missing"),
        ({"base": "no_such"}, "embedding_init random, seed 1: no_such: no such recipe"),
        ({"axes": {"sed": [1]}}, "sed 1: study: unknown option 'sed'; did you mean 'seed'?"),
        ({"axes": {"seed": [1, "one"]}}, "seed one: argument --seed: invalid int value: 'one'"),
        ({"axes": {"seed": [1, 1]}}, "axis seed: give values, each once"),
        ({"axes": {"seed": {"a": None}}}, "axis seed: give a list of seeds"),
        ({"axes": {"seed": 1}}, "axis seed: give `name: value`, not '1'"),
        ({"axes": {"embedding_init": ["best"]}}, "embedding_init best: argument --embedding_init"),
        ({"axes": {"learning_rate": [0.1], "warmup_steps": [-1]}}, "warmup_steps"),
        ({"axes": {"a": {"one": None, "two": None}}}, "a two and a one are the same run; drop one"),
        ({"axes": {"output_dir": ["x"]}}, "output_dir is not for studies"),
        ({"axes": {"m": {"one": "no_such"}}}, "m one: no_such: no such recipe"),
        ({"budget": {"steps": 3}}, "unknown entry 'steps'; budget has tokens"),
        ({"budget": {"tokens": "many"}}, "budget: give tokens, a whole number"),
        ({"budget": {"tokens": 100}}, "budget: phase1 would have no step; give more"),
        ({"budget": 5}, "budget: give tokens, minutes or until"),
        ({"budget": {"minutes": 0}}, "budget: minutes is 0.0; give more than 0"),
        ({"budget": {"minutes": 1, "tokens": 900}}, "budget: give tokens or minutes, not both"),
        ({"budget": {"until": "loss", "every": 2}}, "budget: until is 'loss'; a run trains until validation"),
        ({"budget": {"until": "validation"}}, "budget: until has every, and may have patience and least"),
        ({"budget": {"tokens": 900, "every": 2}}, "budget: every goes with until: validation"),
        (
            {"budget": {"until": "validation", "every": 2}, "axes": {"lr_scheduler_type": ["cosine"]}},
            "until needs a rate that does not fall",
        ),
        (
            {"budget": {"until": "validation", "every": 2}, "measure": {"nli": {"at": 0.5}}},
            "--keep_at takes shares of the steps",
        ),
        ({"measure": {"nli": {"at": [0, 0.5]}}}, "measure nli: at has shares of a run, above 0 and up to 1"),
        ({"measure": {"nli": {"at": "end"}}}, "measure nli: at has shares of a run"),
        ({"budget": {"minutes": 1}, "measure": {"nli": {"no": 1}}}, "measure nli: unknown option 'no'"),
        ({"first": "best"}, "first: 'best' is a value of 0 axes"),
        ({"first": {"embedding_init": "best"}}, "first: axis embedding_init has no value 'best'"),
        ({"measure": {"nli": {"no": 1}}}, "measure nli: unknown option 'no'"),
        ({"measure": {"nil": None}}, "measure nil: "),
        ({"measure": {"nli": {"output_dir": "x"}}}, "output_dir is not for studies"),
        ({"measure": {"nli": {"num_train_epochs": "x"}}}, "measure nli: argument --num_train_epochs"),
        ({"measure": ["nli"]}, "measure: give `name: value`"),
    ],
)
def test_a_mistake_is_one_line_before_anything_is_written(options, tmp_path, capsys, changes, said):
    path = write_study(tmp_path, options(), **changes)
    for verb in ("run", "show", "estimate"):
        assert study(verb, path) == 2
        told = capsys.readouterr()
        assert told.err.startswith("error: ")
        assert said in told.err and told.err.count("\n") == 1 and not told.out
    assert not (tmp_path / "studies").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to do and with which study: xpt study run|show|estimate STUDY.yaml"),
        (["train", "x.yaml"], "say what to do and with which study"),
        (["run", "none.yaml"], "none.yaml: no such study; give a YAML file"),
        (["show", "none.json"], "none.json: no such file"),
        (["run", "none.json"], "none.json has results; to run a study takes its YAML file"),
        (["run", "none.yaml", "--jobs", "0"], "--jobs is 0; give at least 1"),
        (["show", "none.yaml", "--job", "1"], "unknown option --job; did you mean --jobs?"),
    ],
)
def test_a_wrong_command_line_is_one_line(words, said, capsys):
    from xpt.command import main

    assert main(["study", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_runs_name_hangs_on_what_decides_its_result_alone(planned):
    keys = [run.key for run in planned()]
    assert len(set(keys)) == 4
    unchanged = ["--cache_dir", "elsewhere", "--save_steps", "7", "--logging_steps", "1", "--output_dir"]
    recipe = {"save_steps": 1, "logging_steps": 3, "preprocessing_num_workers": 1}
    assert [run.key for run in planned(axes={"x": {"a": recipe}, **AXES})] == keys
    assert [run.key for run in planned(flags=unchanged[:6])] == keys
    for name, value in (
        ("dropout", "0.2"),
        ("phase1_steps", "5"),
        ("adam_beta1", "0.8"),
        ("vocab_size", 301),
        ("learning_rates", {"itl": 2.0}),
        ("whole_word_masking", "true"),
        ("phase1_mlm_probability", ["0.45", "0.15"]),
    ):
        assert not {run.key for run in planned(axes={"x": {"a": {name: value}}, **AXES})} & set(keys), name
    # Options that came later leave the names of runs that do not use them.
    assert not {"learning_rates", "whole_word_masking"} & set(planned()[0].settings)
    # A measure is no part of the run, so that a study may ask for more of what was trained.
    assert [run.key for run in planned(measure={"nli": {"data_dir": "x"}})] == keys


def test_what_is_written_later_wins(planned, tmp_path):
    recipe = tmp_path / "more.yaml"
    recipe.write_text("phase1_steps: 9\nlearning_rate: 2e-3\noutput_dir: elsewhere\n")
    axes = {
        "method": {"plain": None, "file": str(recipe), "both": {"recipe": str(recipe), "phase1_steps": 6}},
        "learning_rate": ["3e-3"],
    }
    plain, file, both = planned(axes=axes)
    assert [flag(run, "phase1_steps") for run in (plain, file, both)] == ["4", "9", "6"]
    assert {flag(run, "learning_rate") for run in (plain, file, both)} == {"3e-3"}
    assert all(flag(run, "output_dir").endswith(f"{run.key}/model") for run in (plain, file, both))


FILES = {file.stem: file for file in sorted((REPO / "studies").glob("*.yaml"))}
# Of models that there are already: options of the command that each file names in its comments.
OF_MODELS = ("klue_re", "klue_table", "polyglot_ko")


@pytest.mark.parametrize("name", sorted(FILES.keys() - set(OF_MODELS)))
def test_the_studies_of_the_repository_can_be_planned(name, monkeypatch):
    monkeypatch.chdir(REPO)
    study = read_study(FILES[name])
    runs = plan_runs(study)
    assert len(runs) == len(study.combinations()) > 1
    if (tokens := study.budget.tokens) is not None:
        assert all(abs(run.tokens / tokens - 1) < 0.01 for run in runs)


@pytest.mark.parametrize("name", OF_MODELS)
def test_every_command_that_a_study_of_models_names_is_one(name, monkeypatch):
    monkeypatch.chdir(REPO)
    text = FILES[name].read_text("utf-8")
    commands = re.findall(r"^#   xpt (finetune|evaluate) (.*?)(?:    \(.*\))?$", text, re.MULTILINE)
    assert len(commands) == 3 and "*not measured*" in text and "ublished" in text
    for command, words in commands:
        if command == "finetune":
            plan = read_plan(shlex.split(words))
            assert {job.seed for job in plan.jobs} == {1, 2, 3} and plan.training.names_folder
        else:
            models, items, scoring, _ = evaluate_parser().read(shlex.split(words), Path).parts
            assert len(models.named()) == 4 and len(items.asked()) == 5 and scoring.shots == [0, 5, 10, 50]


def test_arms_of_one_text_read_as_many_more_tokens_as_their_pieces_are_shorter(monkeypatch):
    monkeypatch.chdir(REPO)
    runs = plan_runs(read_study(REPO / "studies" / "morphemes.yaml"))
    tokens = {run.labels["pieces"]: run.tokens for run in runs}
    file = REPO / "experiments" / "morphemes" / "compare_32000.json"
    stored = json.loads(file.read_text("utf-8"))["ways"]
    longer = stored["morphemes_bpe"]["pieces_per_word"] / stored["plain"]["pieces_per_word"]
    assert tokens["words"] == tokens["morphemes"] == tokens["morphemes_bpe"]
    assert tokens["morphemes_bpe_same_text"] / tokens["words"] == pytest.approx(longer, rel=1e-3)


def test_the_study_of_the_document_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(REPO)
    text = (REPO / "docs" / "studies.md").read_text("utf-8")
    path = tmp_path / "shown.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    runs = plan_runs(read_study(path))
    assert len(runs) == 18 and all(len(run.tunings) == 6 for run in runs)


def test_a_budget_of_tokens_keeps_the_proportion_of_the_phases(planned):
    """4 rows of 32 tokens a step: 12,800 tokens are 100 steps."""
    steps = {"phase1_steps": 3, "phase2_steps": 1}
    listed = [{"name": "one", "train": ["all"], "steps": 1}]
    (run,) = planned(axes={"a": {"x": steps}}, budget={"tokens": 12_800})
    assert (flag(run, "phase1_steps"), flag(run, "phase2_steps")) == ("75", "25")
    assert run.tokens == 12_800
    (run,) = planned(axes={"a": {"x": "lora"}}, budget={"tokens": 12_800})
    assert run.tokens == 12_800
    (run,) = planned(
        axes={"a": {"x": {"phase1_steps": None, "phase2_steps": None, "phases": listed}}},
        budget={"tokens": 1280},
    )
    assert '"steps": 10' in flag(run, "phases")


@pytest.mark.parametrize("method", sorted(file.stem for file in METHODS.glob("*.yaml")))
def test_a_budget_of_tokens_keeps_the_proportion_of_each_method(planned, method):
    """10,000 steps of 4 rows of 32 tokens, whatever steps the base has."""
    fitting = {"packing": "true", "per_device_train_batch_size": 4}
    axes = {"method": {"it": {"recipe": method, **fitting}}}
    (run,) = planned(axes=axes, budget={"tokens": 1_280_000})
    own = read_recipe([method])
    whole = [phase.steps for phase in own.planned_phases()]
    assert abs(run.tokens - 1_280_000) <= 128 * len(whole) / 2  # each is a whole number of steps
    given = [own.phases.phase1_steps, own.phases.phase2_steps]
    steps = [int(flag(run, f"{name}_steps")) for name in ("phase1", "phase2")]
    assert steps == [round(10_000 * share / sum(whole)) for share in given]
    if method == "two_phase_short":
        assert steps == [1000, 9000]


def test_each_task_and_seed_of_a_measure_is_a_step_of_its_own(planned):
    runs = planned(measure={"small": {"task": ["nli", "sts"], "seeds": [1, 2], "num_train_epochs": 1}})
    assert [(step.kind, step.words[0]) for step in runs[0].tunings] == [("small", "finetune")] * 4
    assert len({step.folder for run in runs for step in run.tunings}) == 16
    assert all(step.folder.parent == runs[0].train.folder.parent for step in runs[0].tunings)
    again = planned(measure={"other": {"task": "nli", "seeds": [2], "num_train_epochs": 1}})
    assert again[0].tunings[0].folder in {step.folder for step in runs[0].tunings}


def test_an_estimate_counts_what_is_left_and_trains_nothing(options, tmp_path, capsys):
    """4 runs of 8 steps of 4 x 32 tokens; time and disk are measured on the first one."""
    path = write_study(tmp_path, options(), measure={"nli": {"seeds": [1, 2]}})
    assert study("estimate", path, "--jobs", "2") == 0
    told = {line[2:15].strip(): line[16:] for line in capsys.readouterr().out.splitlines()}
    assert told["runs"] == "4, of which 0 are finished"
    assert told["tokens"] == "4.10K to be read, at most"
    assert "if 2 at once are as fast, from a few steps" in told["time"]
    assert told["disk"].endswith(" free") and "MiB; " in told["disk"]
    assert told["fine-tunings"].startswith("8, of which 0 are finished")
    assert not (tmp_path / "studies").exists()
