"""A source that is a TreLM goes on as one: whole with its own vocabulary, all but that with another."""

import json

import pytest
import torch
from placed import placed
from safetensors.torch import load_file
from test_source import Ids, build
from tiny_runs import run, weights
from tiny_sources import random_source

from modeling_trelm import TreLMRobertaForMaskedLM
from train_xpt import main
from xpt.program.errors import XPTError
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source import open_source


def test_every_tensor_that_depends_on_no_vocabulary_is_kept(tmp_path):
    """Also where the new tokenizer pads elsewhere, and of the first layers alone."""
    folder = random_source(tmp_path, "trelm-roberta", num_itl_in=1, default_language=2)
    stored, source = load_file(folder / "model.safetensors"), open_source(folder)
    for settings in ({}, {"source_num_layers": 2}):
        model, report = build(source, Ids(pad=4), architecture="trelm", **settings)
        config = model.config
        assert (config.num_languages, config.default_language, config.num_itl_in) == (3, 2, 1)
        for name, tensor in model.named_parameters():
            if name.endswith("position_embeddings.weight"):
                assert torch.equal(tensor[5:], stored[name][2:])
            else:
                kept = parameter_group(name) not in ("word_embeddings", "lm_head_bias")
                assert (name in stored and torch.equal(tensor, stored[name])) == kept, name
        assert report["notes"] == [
            "the source is post-trained already: word embeddings new, output bias new, TRILayer copied, "
            "language embeddings copied"
        ]


def test_a_control_has_its_shape_and_nothing_of_it(tmp_path):
    source = open_source(random_source(tmp_path, "trelm-roberta"))
    model, report = build(source, architecture="trelm", layers_init="random")
    assert model.config.num_languages == 3
    assert not any(kinds["copied"] for kinds in report["groups"].values())


@pytest.mark.parametrize("missing", ["roberta.tri.output.dense.weight", "roberta.language_embeddings.weight"])
def test_one_that_is_not_whole_is_refused(tmp_path, missing):
    from safetensors.torch import save_file

    path = random_source(tmp_path, "trelm-roberta") / "model.safetensors"
    tensors = load_file(path)
    del tensors[missing]
    save_file(tensors, path)
    with pytest.raises(XPTError, match=f"lacks {missing.removeprefix('roberta.')}"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"num_hidden_layers": 3}, "num_hidden_layers must be even"), ({"default_language": 3}, "is 3")],
)
def test_a_configuration_that_is_none_is_refused(tmp_path, change, said):
    config = random_source(tmp_path, "trelm-roberta") / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(XPTError, match=said):
        open_source(tmp_path)


def onward(options, source, **changes):
    chosen = {"architecture": "trelm", "phase1_steps": 2, "phase2_steps": 2, **changes}
    return options(source_model_name_or_path=source, **chosen)


def test_from_the_command_line_it_begins_as_the_source_to_the_bit_and_then_learns(
    options, trelm_run, tmp_path
):
    again = run(onward(options, trelm_run), tmp_path / "run")
    first, start = weights(trelm_run), weights(again / "checkpoints" / "initial")
    assert first.keys() == start.keys() == weights(again).keys()
    assert all(torch.equal(tensor, start[name]) for name, tensor in first.items())
    assert any(not torch.equal(tensor, weights(again)[name]) for name, tensor in first.items())
    assert (trelm_run / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()
    ids = torch.randint(5, 300, (2, 20), generator=torch.Generator().manual_seed(1))
    models = [TreLMRobertaForMaskedLM.from_pretrained(f).eval() for f in (trelm_run, again)]
    assert (trelm_run / "config.json").read_bytes() == (again / "config.json").read_bytes()
    assert not torch.equal(*(placed(model)(input_ids=ids).logits for model in models))
    assert "which was post-trained so before: word embeddings copied" in (again / "README.md").read_text()


@pytest.mark.parametrize(("named", "family"), [("xpt", "trelm-roberta"), ("trelm", "xpt-roberta")])
def test_the_other_architecture_is_refused_before_text_is_read(options, tmp_path, capsys, named, family):
    source = random_source(tmp_path / "source", family, num_hidden_layers=4)
    flags = onward(options, source, architecture=named, corpus=tmp_path / "no such text")
    capsys.readouterr()
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    message = capsys.readouterr().err.strip()
    own = {"xpt": "trelm", "trelm": "xpt"}[named]
    assert f"--architecture {named}, but source {source} is of the family {family}" in message
    assert message.endswith(f"give --architecture {own}, or an English encoder") and "\n" not in message
    assert not (tmp_path / "run").exists()
