"""A source that is an XPT checkpoint goes on: whole with its own vocabulary, its layers with another."""

import json
import shutil

import pytest
import torch
from placed import placed
from tiny_runs import run, weights
from transformers import AutoModelForSequenceClassification

from modeling_xpt import XPTRobertaForMaskedLM
from train_xpt import main
from xpt.program.errors import XPTError
from xpt.run.progress import PhaseProgress
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source import open_source

VOCABULARY = {"word_embeddings", "lm_head_bias"}
POISON = "from pathlib import Path\nPath({path!r}).touch()\nraise SystemExit('poisoned code was run')\n"


@pytest.fixture(scope="module")
def first(options, tmp_path_factory):
    """A finished run of two ITLs before and one behind the layers."""
    return run(
        options(num_itl_in=2, phase1_steps=2, phase2_steps=2), tmp_path_factory.mktemp("first") / "run"
    )


@pytest.fixture(scope="module")
def again(options, first, tmp_path_factory):
    """The run that goes on from it."""
    return run(onward(options, first), tmp_path_factory.mktemp("again") / "run")


def onward(options, source, **changes):
    return options(source_model_name_or_path=source, phase1_steps=2, phase2_steps=2, **changes)


def start_of(folder):
    return weights(folder / "checkpoints" / "initial")


def report_of(folder):
    return json.loads((folder / "results.json").read_text())["transplant"]


def groups_equal(one, other):
    """Groups of parameters all of whose tensors are the same in both."""
    differ = {
        parameter_group(name).split(".")[0]
        for name in one
        if name not in other or not torch.equal(one[name], other[name])
    }
    return {parameter_group(name).split(".")[0] for name in one} - differ


def test_at_step_0_it_is_the_source_to_the_bit_and_then_it_learns(first, again):
    assert start_of(again).keys() == weights(first).keys()
    assert all(torch.equal(tensor, weights(first)[name]) for name, tensor in start_of(again).items())
    models = [
        XPTRobertaForMaskedLM.from_pretrained(f).eval() for f in (first, again / "checkpoints" / "initial")
    ]
    ids = torch.randint(5, 300, (2, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(*(placed(model)(input_ids=ids).logits for model in models))
    assert not groups_equal(weights(first), weights(again))
    assert (first / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()


def test_the_report_says_what_was_copied(again):
    report = report_of(again)
    assert report["num_itl_in"] == 2 and report["num_itl_out"] == 1
    assert all(counts["new"] == 0 for counts in report["groups"].values())
    assert report["notes"] == [
        "the source is post-trained already: word embeddings copied, output bias copied, ITLs copied"
    ]


def test_interrupted_it_goes_on_to_the_same_weights(options, first, again, tmp_path, monkeypatch):
    step_end, stopped = PhaseProgress.on_step_end, []

    def interrupt(self, args, state, control, **kwargs):
        step_end(self, args, state, control, **kwargs)
        if (self.phase, state.global_step) not in stopped:
            stopped.append((self.phase, state.global_step))
            raise KeyboardInterrupt

    monkeypatch.setattr(PhaseProgress, "on_step_end", interrupt)
    codes = [main([*onward(options, first), "--output_dir", str(tmp_path / "run")]) for _ in range(5)]
    assert codes == [130] * 4 + [0]
    assert all(
        torch.equal(tensor, weights(again)[name]) for name, tensor in weights(tmp_path / "run").items()
    )


def test_with_another_tokenizer_the_layers_and_itls_are_kept(options, first, tmp_path):
    trained = run(onward(options, first, keep_vocabulary="false", vocab_size=280), tmp_path / "trained")
    named = run(onward(options, first, tokenizer_name_or_path=trained), tmp_path / "named")
    for folder in (trained, named):
        assert len(start_of(folder)["roberta.embeddings.word_embeddings.weight"]) == 280
        assert groups_equal(weights(first), start_of(folder)) == {
            "source_embeddings",
            "itl",
            "encoder",
            "lm_head_transform",
        }
        assert report_of(folder)["notes"] == [
            "the source is post-trained already: word embeddings new, output bias new, ITLs copied"
        ]


def test_naming_the_sources_own_tokenizer_keeps_its_vocabulary(options, first, again, tmp_path):
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(first / name, tokenizer)
    folder = run(onward(options, first, tokenizer_name_or_path=tokenizer), tmp_path / "run")
    assert groups_equal(start_of(folder), weights(first)) == groups_equal(weights(first), weights(first))


def test_new_itls_are_a_choice(options, first, tmp_path):
    folder = run(onward(options, first, itl_init="random", num_itl_in=1), tmp_path / "run")
    assert report_of(folder)["groups"]["itl"]["copied"] == 0 and report_of(folder)["num_itl_in"] == 1
    assert "ITLs new" in report_of(folder)["notes"][0]
    same = groups_equal(start_of(folder), weights(first))
    assert same == {"word_embeddings", "source_embeddings", "encoder", "lm_head_transform", "lm_head_bias"}


def test_a_checkpoint_with_another_head_is_read(options, first, tmp_path):
    classifier = AutoModelForSequenceClassification.from_pretrained(first, trust_remote_code=False)
    classifier.save_pretrained(tmp_path / "source")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(first / name, tmp_path / "source")
    folder = run(onward(options, tmp_path / "source"), tmp_path / "run")
    same = groups_equal(start_of(folder), weights(first))
    assert same == {"word_embeddings", "source_embeddings", "itl", "encoder"}
    assert report_of(folder)["lm_head_transform_is_new"]
    assert "word embeddings copied, output bias new, ITLs copied" in report_of(folder)["notes"][0]


def test_no_code_of_the_checkpoint_is_run(options, first, tmp_path):
    source, witness = tmp_path / "source", tmp_path / "executed"
    shutil.copytree(first, source, ignore=shutil.ignore_patterns("checkpoints"))
    for file in source.glob("*.py"):
        file.write_text(POISON.format(path=str(witness)))
    config = json.loads((source / "config.json").read_text())
    assert config["auto_map"] and list(source.glob("*.py"))
    settings = json.loads((source / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": [None, "modeling_xpt.Tokenizer"]}
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    folder = run(onward(options, source), tmp_path / "run")
    assert not witness.exists()
    assert not any("poisoned" in file.read_text() for file in folder.glob("*.py"))


def test_a_checkpoint_without_itls_goes_on(options, tmp_path):
    bare = run(options(num_itl_in=0, num_itl_out=0, phase1_steps=1, phase2_steps=1), tmp_path / "bare")
    folder = run(onward(options, bare), tmp_path / "run")
    assert report_of(folder)["num_itl_in"] + report_of(folder)["num_itl_out"] == 0
    assert all(torch.equal(tensor, weights(bare)[name]) for name, tensor in start_of(folder).items())


REFUSED = {
    "another number of ITLs": (
        {"num_itl_in": 1},
        "--num_itl_in is 1, but the ITLs of source {first} are kept and are 2; leave it out, or give "
        "--itl_init random for new ones",
    ),
    "a foreign tokenizer kept": (
        {"keep_vocabulary": "true", "tokenizer_name_or_path": "{shipped}"},
        "--keep_vocabulary, but --tokenizer_name_or_path {shipped} is not the tokenizer of source {first}",
    ),
    "the vocabulary of an English source": (
        {"keep_vocabulary": "true", "source_model_name_or_path": "{english}"},
        "--keep_vocabulary is for XPT checkpoints; source {english} is of the family roberta",
    ),
    "the source overwritten": ({"output_dir": "{first}"}, "{first} holds a run with other settings"),
    "less than no ITLs": ({"num_itl_out": -1, "itl_init": "random"}, "--num_itl_out is -1; give 0 or more"),
    "no tokenizer": (
        {"source_model_name_or_path": "{untokenized}"},
        "the source's own vocabulary is kept unless --keep_vocabulary is false, but no tokenizer.json in "
        "{untokenized}",
    ),
    "a tokenizer of more ids": (
        {"source_model_name_or_path": "{small}"},
        "has 300 word embeddings for the 301 ids of its tokenizer; give its own, or --keep_vocabulary false",
    ),
}


@pytest.fixture(scope="module")
def places(first, tiny_source, tmp_path_factory):
    """Folders that the refusals name; the tokenizer of `small` has one id more than its model."""
    from tokenizer_texts import SHIPPED

    untokenized, small = (tmp_path_factory.mktemp(name) for name in ("untokenized", "small"))
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(first / name, small)
        if "tokenizer" not in name:
            shutil.copy(first / name, untokenized)
    tokenizer = json.loads((small / "tokenizer.json").read_text())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 300, "content": "<more>"})
    (small / "tokenizer.json").write_text(json.dumps(tokenizer))
    return {
        "first": first,
        "english": tiny_source("roberta"),
        "shipped": SHIPPED,
        "untokenized": untokenized,
        "small": small,
    }


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_go_on_is_refused_in_one_line(options, first, places, tmp_path, capsys, case):
    changes, message = REFUSED[case]
    filled = {name: str(value).format(**places) for name, value in changes.items()}
    flags = onward(options, first) if "source_model_name_or_path" not in filled else options()
    output = filled.pop("output_dir", tmp_path / "run")
    flags = [*flags, *(token for name, value in filled.items() for token in (f"--{name}", value))]
    before = {file: file.stat().st_mtime_ns for file in first.rglob("*")}
    code = main([*flags, "--output_dir", str(output)])
    assert {file: file.stat().st_mtime_ns for file in first.rglob("*")} == before
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == 2 and message.format(**places) in error, error
    assert not (tmp_path / "run").exists()


def test_an_xpt_checkpoint_that_is_not_whole_is_refused(first, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(first, tmp_path / "source", ignore=shutil.ignore_patterns("checkpoints"))
    path = tmp_path / "source" / "model.safetensors"
    tensors = load_file(path)
    save_file({name: tensors[name] for name in tensors if "itl_in.1." not in name}, path)
    with pytest.raises(XPTError, match=r"lacks itl_in.1.*\(16 of"):
        open_source(tmp_path / "source")
    config = json.loads((tmp_path / "source" / "config.json").read_text())
    for value, message in (
        (10**9, r"lacks itl_out\.1"),
        (-1, "must be a whole number"),
        ("x", "not in order"),
    ):
        (tmp_path / "source" / "config.json").write_text(json.dumps({**config, "num_itl_out": value}))
        save_file(tensors, path)
        with pytest.raises(XPTError, match=message):
            open_source(tmp_path / "source")
