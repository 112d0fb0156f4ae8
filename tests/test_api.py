"""What `import xpt` gives to people in notebooks: it is explained, quick to import, and works twice."""

import ast
import dataclasses
import inspect
import json
import shutil
import signal
import subprocess
import sys
import typing
from pathlib import Path

import api_folder
import pytest
from places import REPO
from transformers.utils.logging import enable_progress_bar, is_progress_bar_enabled

import xpt
from finetune_klue import main as finetune
from train_xpt import main as train
from xpt.cards.public import shown_command
from xpt.program.environment import describe_call
from xpt.program.interrupts import StopRequest
from xpt.program.script import working
from xpt.run.post_training import PostTraining


@pytest.fixture(scope="module")
def filled(tiny_source, tmp_path_factory):
    """The folder of the examples, and the cache of its text, made once."""
    folder = tmp_path_factory.mktemp("api")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XPT_CACHE", str(folder / "cache"))
        api_folder.fill(folder, tiny_source("roberta"))
    return folder


@pytest.fixture
def there(filled, tmp_path, monkeypatch):
    """A copy of it, in which the test runs."""
    folder = tmp_path / "here"
    shutil.copytree(filled, folder, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XPT_CACHE", str(filled / "cache"))
    return folder


def recipe(**training):
    return xpt.Recipe(
        xpt.SourceArguments("tiny-roberta"),
        xpt.CorpusArguments("wiki.txt"),
        xpt.TokenizerArguments(vocab_size=300),
        xpt.PhaseArguments(phase1_steps=2, phase2_steps=2, max_seq_length=32),
        xpt.XPTTrainingArguments(
            **{"output_dir": "output/new", "per_device_train_batch_size": 4, **training}
        ),
    )


def plan(**training):
    return xpt.Plan(
        xpt.ModelArguments("output/mine"),
        xpt.TaskArguments("nli", data_dir="klue-v1.1"),
        xpt.FineTuningArguments(**{"output_dir": "output/tuned", "num_train_epochs": 1, **training}),
    )


# ---- what is exported ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", xpt.__all__)
def test_its_example_runs_as_it_is_shown(name, there):
    tried, report = api_folder.run_examples(name)
    assert tried, "no example"
    assert not report, report


@pytest.mark.parametrize("name", xpt.__all__)
def test_it_has_types_and_says_what_it_takes_and_refuses(name):
    value = getattr(xpt, name)
    explained = inspect.getdoc(value)
    assert "Example:\n" in explained
    if inspect.isclass(value) and issubclass(value, Exception):
        return
    signature = inspect.signature(value)
    hints = typing.get_type_hints(value.__init__ if inspect.isclass(value) else value)
    for parameter in signature.parameters.values():
        assert parameter.name in hints, parameter
    if not inspect.isclass(value):
        assert "return" in hints
        documented = explained.partition("Args:\n")[2]
        for parameter in signature.parameters:
            assert f"\n    {parameter}: " in f"\n{documented}", f"{parameter} is not explained"
    elif dataclasses.is_dataclass(value):
        for entry in dataclasses.fields(value):
            told = (
                "help" in entry.metadata or f"{entry.name}: " in explained or f"`{entry.name}`" in explained
            )
            inherited = entry.name not in vars(value)["__annotations__"]
            assert told or inherited or not entry.init, f"{entry.name} is not explained"


def test_the_names_are_listed_once_for_people_for_editors_and_for_python():
    assert set(xpt.__all__) <= set(dir(xpt)) and list(xpt.__all__) == sorted(xpt.__all__)
    assert set(xpt.__all__) == set(xpt._HOMES)
    (checked,) = (
        node for node in ast.parse((REPO / "xpt" / "__init__.py").read_text("utf-8")).body
        if isinstance(node, ast.If)
    )  # fmt: skip
    homes = {alias.name: line.module for line in checked.body for alias in line.names}
    assert homes == xpt._HOMES
    with pytest.raises(AttributeError, match="has no attribute 'pretrain'"):
        _ = xpt.pretrain


def test_no_name_hides_a_part_of_the_package():
    parts = {path.stem for path in (REPO / "xpt").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert "run" in parts and not parts & set(xpt.__all__)


def test_importing_takes_no_time():
    program = "import sys, xpt; dir(xpt); print(sorted(sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    loaded = {name.split(".")[0] for name in ast.literal_eval(told.stdout)}
    assert "xpt" in loaded and not loaded & {"torch", "transformers", "numpy", "datasets", "matplotlib"}


# ---- what the command line refuses -----------------------------------------------------------------------

PARTS = {"train": xpt.XPTTrainingArguments, "finetune": xpt.FineTuningArguments}
REFUSED = [
    (command, name)
    for command, part in PARTS.items()
    for name in part.refused
    if name in {entry.name for entry in dataclasses.fields(part) if entry.init}
]


@pytest.mark.parametrize(("command", "name"), REFUSED)
def test_an_option_is_refused_in_python_as_on_the_command_line(command, name, capsys):
    main = {"train": train, "finetune": finetune}[command]
    assert main([f"--{name}", "1"]) == 2
    with pytest.raises(xpt.XPTError) as refused:
        PARTS[command](**{name: 1234.5})
    assert capsys.readouterr().err == f"error: {refused.value}\n"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: xpt.Recipe(training=xpt.XPTTrainingArguments(report_to="papyrus")), "--report_to: papyrus"),
        (lambda: plan(report_to="papyrus"), "--report_to: papyrus"),
        (lambda: xpt.SourceArguments(itl_init="zero"), "--itl_init is 'zero'; give one of auto, random,"),
        (lambda: xpt.SourceArguments(embedding_init="zero"), "--embedding_init is 'zero'; give one of ran"),
        (lambda: xpt.TokenizerArguments(vocab_size="8000"), "--vocab_size is the text '8000'; give a number"),
        (lambda: xpt.PhaseArguments(packing="false"), "--packing is the text 'false'; give True or False"),
        (lambda: xpt.FineTuningArguments(learning_rate="3e-5"), "--learning_rate is the text '3e-5'; give a"),
        (lambda: xpt.CorpusArguments("a.txt", language="xx-nowhere"), "xx-nowhere"),
        (lambda: xpt.XPTTrainingArguments(lr_scheduler_type="up"), "up is not a valid SchedulerType"),
        (
            lambda: xpt.Recipe(phase_list=[{}], phases=xpt.PhaseArguments(phase2_steps=1)),
            "--phase2_steps has no effect: in `phases:` no phase2 leaves its steps to a flag",
        ),
        (
            lambda: xpt.Recipe(phase_list=[{}], phases=xpt.PhaseArguments(phases="[]")),
            "--phases and phase_list: give one of them",
        ),
        (lambda: xpt.Recipe(phases=xpt.PhaseArguments(phases="{")), "--phases is not JSON"),
        (lambda: xpt.Plan(), "no model: give --model_name_or_path"),
        (lambda: xpt.Plan(xpt.ModelArguments("m"), xpt.TaskArguments("sentiment")), "unknown task 'senti"),
        (
            lambda: xpt.Plan(xpt.ModelArguments("m"), xpt.TaskArguments(["nli", "sts"], train_file="a")),
            "--train_file and --validation_file are of one task",
        ),
        (
            lambda: xpt.Plan(xpt.ModelArguments("m"), xpt.TaskArguments("nli", max_train_examples=0)),
            "are counts, not 0",
        ),
        (lambda: xpt.post_train(recipe(dry_run=True)), "--dry_run trains nothing; leave it out, or call"),
    ],
)  # fmt: skip
def test_a_mistake_in_python_is_one_line_that_names_it(make, said):
    with pytest.raises(xpt.XPTError) as refused:
        make()
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_what_python_has_is_what_a_command_line_would_have():
    made = xpt.CorpusArguments(Path("wiki.txt"), corpus_weights=(1,))
    assert made.corpus == ["wiki.txt"] and made.corpus_weights == [1]
    flags = "--source_model_name_or_path tiny-roberta --corpus wiki.txt --vocab_size 300 --phase1_steps 2"
    flags += " --phase2_steps 2 --max_seq_length 32 --per_device_train_batch_size 4 --output_dir output/new"
    assert xpt.read_recipe(flags.split()).settings() == recipe(output_dir=Path("output/new")).settings()
    phases = [{"name": "only", "train": "all", "steps": 3}]
    listed = xpt.Recipe(phase_list=phases)
    assert listed.settings() == xpt.Recipe(phases=xpt.PhaseArguments(phases=json.dumps(phases))).settings()
    assert [phase.name for phase in listed.planned_phases()] == ["only"]
    assert xpt.Recipe().training.output_dir == "output/xpt"
    assert xpt.FineTuningArguments().output_dir == "output/klue"


# ---- twice in one process --------------------------------------------------------------------------------


def test_a_run_that_is_finished_is_given_back_and_its_results_tell_how_to_repeat_it(there, capsys):
    before = signal.getsignal(signal.SIGINT)
    run = xpt.post_train(recipe())
    written = (run.folder / "model.safetensors").stat().st_mtime_ns
    again = xpt.post_train(recipe())
    assert signal.getsignal(signal.SIGINT) is before
    assert again.results() == run.results() and again.read_log() == run.read_log()
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == written
    command = run.results()["command"]
    assert eval(command.removeprefix("xpt.post_train"), {"xpt": xpt}).settings() == recipe().settings()
    assert f"```\n{command}\n```" in (run.folder / "README.md").read_text("utf-8")
    assert "output/new is finished" in xpt.dry_run(recipe()), "it may be asked what a start would do"
    capsys.readouterr()
    assert train(["tiny.yaml", "--output_dir", "output/mine"]) == 0
    assert capsys.readouterr().out == f"{xpt.summarize(xpt.Run('output/mine'))}\n"


def test_a_fine_tuning_that_is_finished_is_given_back(there):
    results = xpt.fine_tune(plan())
    assert xpt.fine_tune(plan()) == results
    again = eval(results[0]["command"].removeprefix("xpt.fine_tune"), {"xpt": xpt})
    assert again.jobs == plan().jobs and again.training.given == {"num_train_epochs": 1}


def test_a_notebooks_stop_button_ends_the_step_and_the_next_call_goes_on(there, monkeypatch):
    whole = xpt.post_train(recipe())
    original = PostTraining.phase_data

    def pressed(self, index):
        if index == 1:
            data, presses = original(self, index), [signal.SIGINT]

            def press(rows):
                while presses:
                    signal.raise_signal(presses.pop())
                return data.collator(rows)

            return dataclasses.replace(data, collator=press)
        return original(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(PostTraining, "phase_data", pressed)
        with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT"):
            xpt.post_train(recipe(output_dir="output/stopped"))
    assert not xpt.Run("output/stopped").finished
    assert list(Path("output/stopped/checkpoints/phase2").glob("checkpoint-1")), "the step was saved"
    run = xpt.post_train(recipe(output_dir="output/stopped"))
    assert run.results()["test"] == whole.results()["test"]


def test_signals_and_bars_are_as_they_were_and_who_listens_already_goes_on():
    before = signal.getsignal(signal.SIGTERM)
    given = StopRequest()
    enable_progress_bar()
    assert is_progress_bar_enabled()
    with working(given) as stop:
        assert not is_progress_bar_enabled()
        assert stop is given and signal.getsignal(signal.SIGTERM) is before
    with working():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before and is_progress_bar_enabled()


def test_a_call_is_shown_without_secrets_and_published_without_places():
    arguments = xpt.XPTTrainingArguments(output_dir="/home/somebody/run", lr_scheduler_type="cosine")
    arguments.chosen["hub_token"] = "hf_" + "Secret" * 5
    call = describe_call(
        "xpt.post_train", xpt.Recipe(xpt.SourceArguments("../lee's/roberta"), training=arguments)
    )
    assert "hf_" not in call and "lr_scheduler_type='cosine'" in call
    shown = shown_command(call)
    assert "somebody" not in shown and "output_dir='run'" in shown
    assert "xpt.SourceArguments(source_model_name_or_path='roberta')" in shown
    assert shown.startswith("xpt.post_train(xpt.Recipe(source=")


def test_drawing_leaves_a_notebooks_figures_alone(there):
    import matplotlib

    with matplotlib.rc_context(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(matplotlib, "use", lambda *args, **kwargs: pytest.fail("changes the backend"))
        xpt.compare("output/nli").draw("picture.png")
        program = (
            "import matplotlib; matplotlib.use('svg'); import xpt; xpt.compare, xpt.fine_tune, xpt.post_train"
        )
        program += "; print(matplotlib.get_backend())"
        told = subprocess.run(
            [sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, timeout=120
        )
    assert told.stdout.strip() == "svg" and Path("picture.png").read_bytes().startswith(b"\x89PNG")
