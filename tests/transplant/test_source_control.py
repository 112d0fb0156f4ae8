"""The control: the source's shape, and nothing of what it has learned."""

import json

import pytest
import torch
from test_source import Ids, build
from tiny_runs import run, weights
from tiny_sources import random_source

from train_xpt import main
from xpt.transplant.families import SHARED_FIELDS
from xpt.transplant.source import format_report, open_source


@pytest.mark.parametrize("family", ["roberta", "distilbert", "xpt-roberta"])
def test_nothing_of_the_source_is_in_it_but_its_shape(tmp_path, family):
    one, other = (open_source(random_source(tmp_path / name, family)) for name in ("one", "other"))
    for name, tensor in other.body.items():
        other.body[name] = torch.randn_like(tensor)
    other.head.clear() if other.head else None
    table = torch.randn(60, 32)
    model, report = build(one, embeddings=table, layers_init="random", source_num_layers=2, seed=3)
    control, _ = build(other, embeddings=table, layers_init="random", source_num_layers=2, seed=3)
    for name, tensor in model.named_parameters():  # whatever the source has learned
        assert torch.equal(tensor, dict(control.named_parameters())[name]), name
    for field in SHARED_FIELDS:
        assert getattr(model.config, field) == getattr(one.config, field)
    assert model.config.num_hidden_layers == 2 == report["layers"]
    assert all(counts["copied"] == 0 for counts in report["groups"].values())
    assert report["lm_head_transform_is_new"]
    assert "note: nothing is copied" in format_report(report)


def test_it_starts_as_robertas_do_and_by_seed(tiny_source):
    source = open_source(tiny_source("roberta"))
    model, _ = build(source, layers_init="random", seed=3)
    other, _ = build(source, layers_init="random", seed=4)
    std = source.config.initializer_range
    for name, tensor in model.roberta.named_parameters():
        if "word_embeddings" in name:
            continue
        if tensor.dim() == 1:
            assert torch.equal(tensor, torch.full_like(tensor, 0.0 if name.endswith("bias") else 1.0)), name
        else:
            used = tensor[Ids.pad + 1 :] if "position" in name else tensor
            assert 0.7 * std < used.std() < 1.4 * std and used.mean().abs() < std / 2, name
            assert not torch.equal(tensor, dict(other.roberta.named_parameters())[name])
    assert not model.roberta.embeddings.position_embeddings.weight[: Ids.pad + 1].any()


def test_a_run_from_scratch_is_a_flag_away(options, tmp_path):
    phases = json.dumps([{"name": "scratch", "train": ["all"], "steps": 2}])
    flags = options(layers_init="random", phases=phases, phase1_steps=None, phase2_steps=None)
    folder = run(flags, tmp_path / "run")
    start, end = weights(folder / "checkpoints" / "initial"), weights(folder)
    assert not any(torch.equal(start[name], end[name]) for name in start if "self.key.bias" not in name)
    card = (folder / "README.md").read_text()
    assert "layers drawn at random" in card and "layers are kept" not in card and "layers kept" not in card


@pytest.mark.parametrize("option", ["lm_head_init", "itl_init"])
def test_copying_is_refused_beside_it(options, tmp_path, capsys, option):
    flags = options(layers_init="random", **{option: "copy"})
    assert main([*flags, "--output_dir", str(tmp_path / "run")]) == 2
    assert f"--{option} copy contradicts --layers_init random" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
