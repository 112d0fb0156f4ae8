"""Command line and recipes: what wins, and what is said of a mistake."""

import json
import re
from dataclasses import dataclass, field, fields
from typing import Literal

import pytest
from transformers import TrainingArguments

from xpt.program.errors import XPTError
from xpt.program.options import OptionParser
from xpt.recipe.command_line import make_parser, read_recipe
from xpt.recipe.corpus import CorpusArguments
from xpt.recipe.phases import PhaseArguments
from xpt.recipe.source import SourceArguments
from xpt.recipe.tokenizer import TokenizerArguments
from xpt.recipe.training import REFUSED, XPTTrainingArguments


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_flags_win_over_recipes_and_later_recipes_over_earlier(tmp_path):
    (tmp_path / "first.yaml").write_text(
        "output_bias_init: zero\nper_device_train_batch_size: 256\nlearning_rate: 3e-4\nseed: 1\n"
        "phase1_steps: 5_000\n"
    )
    (tmp_path / "second.yaml").write_text("seed: 2\ncorpus: [a.txt, b.txt]\n")
    recipe = read_recipe(["first.yaml", "second.yaml", "--phase2_steps", "7"])
    assert recipe.source.output_bias_init == "zero" and recipe.training.per_device_train_batch_size == 256
    assert recipe.training.learning_rate == 3e-4 and recipe.training.seed == 2
    assert (recipe.phases.phase1_steps, recipe.phases.phase2_steps) == (5000, 7)
    assert recipe.corpus.corpus == ["a.txt", "b.txt"]
    assert recipe.training.output_dir == "output/second"


def test_null_takes_an_earlier_value_back(tmp_path):
    (tmp_path / "large.yaml").write_text("train_sentences: 4_000_000\ntest_sentences: 88_000\n")
    (tmp_path / "small.yaml").write_text("train_sentences: null\n")
    recipe = read_recipe(["large.yaml", "small.yaml"])
    assert recipe.corpus.train_sentences is None and recipe.corpus.test_sentences == 88_000


def test_phases_of_a_recipe_replace_the_two(tmp_path):
    (tmp_path / "gradual.yaml").write_text(
        """
learning_rate: 1e-3
phases:
  - {name: new, train: [word_embeddings, itl, lm_head_bias], steps: 3}
  - {name: top, train: [encoder.2, itl], steps: 4, learning_rate: 1e-4, lr_scheduler_type: cosine}
"""
    )
    new, top = read_recipe(["gradual.yaml"]).planned_phases()
    assert (new.name, new.steps, new.learning_rate, new.lr_scheduler_type) == ("new", 3, 1e-3, "linear")
    assert (top.train, top.learning_rate, top.lr_scheduler_type) == (("encoder.2", "itl"), 1e-4, "cosine")


@pytest.mark.parametrize("share", ["1", "-0.1", "nan"])
def test_a_dropout_that_is_no_share_is_refused(share):
    with pytest.raises(XPTError, match=f"--dropout is .*{share.lstrip('-')}.*; give a share from 0"):
        read_recipe(["--dropout", share]).planned_phases()


def test_rates_and_masking_of_each_phase_have_flags():
    flags = ["--learning_rate", "1e-4", "--phase2_learning_rate", "5e-5", "--phase1_mlm_probability", "0.3"]
    first, second = read_recipe(flags).planned_phases()
    assert (first.learning_rate, first.mlm_probability) == (1e-4, 0.3)
    assert (second.learning_rate, second.mlm_probability) == (5e-5, 0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_steps", "3"], "--max_steps contradicts the phases; use --phase1_steps and --phase2_steps"),
        (["--num_train_epochs=3"], "--num_train_epochs contradicts the phases"),
        (["--vocab_sise", "3"], "unknown option --vocab_sise; did you mean --vocab_size"),
        (["--vocab_size", "many"], "invalid int value: 'many'"),
        (["--itl_init", "zero"], "invalid choice: 'zero'"),
        (["missing.yaml"], "missing.yaml: no such recipe"),
        (["broken.yaml"], "broken.yaml: not readable as YAML"),
        (["list.yaml"], "list.yaml: a recipe is a list of `name: value`"),
        (["typo.yaml"], "typo.yaml: unknown option 'corpsu'; did you mean 'corpus'"),
        (["--phases", "[1]"], "phases: give a list of phases"),
        (["--phases", "[{}]", "--phase1_steps", "3"], "--phase1_steps has no effect: in `phases:` no phase1"),
        (["--seed", "1", "fine.yaml"], "fine.yaml stands behind the options; name recipes first"),
        (
            ["--hub_token", "hf_secret"],
            "--hub_token is refused: a token on the command line is seen by others",
        ),
        (
            ["--accelerator_config", '{"split_batches": true}'],
            "--accelerator_config is refused: processes would read rows twice or never",
        ),
        (
            ["--ignore_data_skip", "true"],
            "--ignore_data_skip is refused: a resumed run would read other rows",
        ),
        (["--phases", "{"], "--phases is not JSON"),
        (["--report_to", "papyrus"], "--report_to: papyrus is not supported"),
        (["--fp16", "true", "--use_cpu", "true", "--bf16", "maybe"], "Truthy value expected"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(tmp_path, arguments, message):
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "typo.yaml").write_text("corpsu: a.txt\n")
    with pytest.raises(XPTError) as error:
        read_recipe(arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("available", [True, False])
def test_bf16_is_used_where_the_hardware_has_it_and_refused_where_not(monkeypatch, available):
    monkeypatch.setattr("xpt.program.precision.has_fast_bf16", lambda use_cpu: available)
    assert read_recipe([]).training.bf16 is available
    assert read_recipe(["--bf16", "false"]).training.bf16 is False
    if not available:
        with pytest.raises(XPTError, match="--bf16 true, but this hardware has no bfloat16"):
            read_recipe(["--bf16", "true"])


def test_how_many_processes_share_a_step_is_a_setting():
    assert read_recipe([]).settings()["world_size"] == 1 and "n_gpu" in read_recipe([]).settings()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "nothing to train: there is no phase of at least one step"),
        (["a", "b", "a"], "phases: give each phase a name of its own; found a, b, a"),
    ],
)
def test_there_are_phases_and_each_has_a_name_of_its_own(names, message):
    phases = [{"name": name, "train": "all", "steps": 1} for name in names]
    recipe = read_recipe(["--phases", json.dumps(phases)])
    with pytest.raises(XPTError, match=message):
        recipe.planned_phases()


def test_nothing_to_train_is_an_error():
    with pytest.raises(XPTError, match="nothing to train"):
        read_recipe(["--phase1_steps", "0", "--phase2_steps", "0"]).planned_phases()


OPTION = re.compile(r"^  --(\w+) .+\n((?: {8}.*\n)+)", re.MULTILINE)
OURS = (SourceArguments, CorpusArguments, TokenizerArguments, PhaseArguments, XPTTrainingArguments)
STOCK = {entry.name for entry in fields(TrainingArguments) if entry.init}


def test_help_explains_every_option_of_ours_once_with_its_default():
    explained = OPTION.findall(make_parser().format_help())
    declared = [
        entry.name for kind in OURS for entry in fields(kind) if entry.name in vars(kind)["__annotations__"]
    ]
    declared += [entry.name for entry in fields(XPTTrainingArguments) if entry.name not in STOCK]
    assert {"dry_run", "packing", "corpus", "learning_rate", "cache_dir"} <= set(declared)
    assert set(declared) <= {name for name, _ in explained}
    assert len({name for name, _ in explained}) == len(explained)
    for name, text in explained:
        reasons, default, value = " ".join(text.split()).partition("Default: ")
        assert default and value and len(reasons.split()) > 2, name


def test_help_names_every_option_there_is_but_the_refused():
    text = make_parser().format_help()
    ours = [name for name, _ in OPTION.findall(text)]
    others = re.findall(r"--(\w+)", text[text.index("\nOthers, of transformers:") :])
    assert len(ours + others) == len(set(ours + others)), "shown twice"
    named = {*ours, *others}
    known = {entry.name for kind in OURS for entry in fields(kind) if entry.init}
    assert known - named == set(REFUSED) & known and not named & set(REFUSED)


def test_help_fits_the_screen_and_comes_in_groups(capsys):
    with pytest.raises(SystemExit) as end:
        read_recipe(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and max(map(len, text.splitlines())) <= 100
    titles = [line.split()[0].rstrip(":") for line in text.splitlines() if re.match(r"[A-Z].*:$", line)]
    wanted = "Source Text Tokenizer Phases Hardware Publishing Run Training Others,".split()
    assert titles == wanted


def test_an_option_of_a_new_dataclass_needs_no_list(monkeypatch):
    @dataclass
    class NewArguments:
        """Something new."""

        share: float | None = field(default=None, metadata={"help": "A share of 10 %%."})
        shape: Literal["round", "square"] = field(default="round", metadata={"help": "A shape."})

    @dataclass
    class MoreArguments(NewArguments):
        """Something more."""

        shape: Literal["round", "square"] = field(default="square", metadata={"help": "Square is better."})

    text = OptionParser((MoreArguments,), "more.py", "").format_help()
    assert "Something new:\n  --share NUMBER\n        A share of 10 %. Default: none.\n" in text
    assert "Something more:\n  --shape round|square\n        Square is better. Default: square.\n" in text
    assert text.count("--shape") == 1
