"""Opening a source: whole encoders of a supported family, and nothing else, in one line that says why."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_sources import random_source
from transformers import (
    BertForMaskedLM,
    DebertaConfig,
    DebertaModel,
    GPT2Config,
    GPT2LMHeadModel,
    MPNetConfig,
    MPNetModel,
)

from xpt.program.errors import XPTError
from xpt.transplant.source import open_source


def test_the_hash_covers_the_weights_and_not_their_place(tmp_path):
    first = open_source(random_source(tmp_path / "a", "bert", 0))
    assert first.sha256 == open_source(random_source(tmp_path / "b", "bert", 0)).sha256
    stored = load_file(tmp_path / "b" / "model.safetensors")
    stored["bert.encoder.layer.1.output.dense.bias"][0] += 1e-3
    save_file(stored, tmp_path / "b" / "model.safetensors", metadata={"format": "pt"})
    assert first.sha256 != open_source(tmp_path / "b").sha256


def refused(tmp_path):
    """Folders that are no source, by name, and what must be said of each."""
    small = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)).save_pretrained(
        tmp_path / "gpt2"
    )
    MPNetModel(MPNetConfig(**small, intermediate_size=32)).save_pretrained(tmp_path / "mpnet")
    DebertaModel(DebertaConfig(**small, intermediate_size=32)).save_pretrained(tmp_path / "deberta")
    random_source(tmp_path / "decoder", "roberta", is_decoder=True)
    stored = load_file(random_source(tmp_path / "layer", "bert", 0) / "model.safetensors")
    save_file(
        {name: tensor for name, tensor in stored.items() if ".layer.1." not in name},
        tmp_path / "layer" / "model.safetensors",
        metadata={"format": "pt"},
    )
    cut = random_source(tmp_path / "cut", "bert", 0) / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:5000])
    pickled = random_source(tmp_path / "pickled", "bert", 0)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    (tmp_path / "no-config").mkdir()
    return {
        "gpt2": "is of type 'gpt2' (GPT2LMHeadModel), which adds positions to its embeddings, which no "
        "decoder in the table of architectures does; supported are encoders of the families roberta,",
        "mpnet": "is of type 'mpnet' (MPNetModel), which adds relative positions to its attention",
        "deberta": "is of type 'deberta' (DebertaModel), which adds relative positions to its attention",
        "decoder": "and a decoder (is_decoder or add_cross_attention is true); supported are",
        "layer": "lacks encoder.layer.1.attention.self.query.weight (16 of 57 tensors are missing)",
        "cut": "model.safetensors is no whole safetensors file",
        "pickled": "has no model.safetensors; its pytorch_model.bin is a pickle",
        "no-config": "has no config.json",
        "nowhere": "does not exist; give a folder or a Hub id such as",
    }


def test_what_is_no_source_is_refused_in_one_line_that_names_it(tmp_path):
    for name, message in refused(tmp_path).items():
        with pytest.raises(XPTError) as error:
            open_source(tmp_path / name)
        assert message in str(error.value) and str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(XPTError, match="no source: give --source_model_name_or_path"):
        open_source(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auto_map": {"AutoModel": "modeling.Own"}}, "code of its own (auto_map), which is not run"),
        ({"position_embedding_type": "relative_key"}, "positions of type 'relative_key'"),
        ({"model_type": None}, "is of type None"),
        ({"model_type": ["bert"]}, "is of type ['bert']"),
        ({"hidden_size": "wide"}, "its config.json is not in order"),
        ({"hidden_act": "none"}, "its config.json describes no model"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": 10**9}, "lacks encoder.layer.3."),
        ({"num_hidden_layers": 2}, "holds encoder.layer.2."),
        ({"type_vocab_size": 1}, "token_type_embeddings.weight has the shape (2, 32), but"),
    ],
)
def test_a_config_that_is_not_that_of_the_weights_is_refused(tmp_path, changes, message):
    path = random_source(tmp_path, "bert", 0) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(XPTError) as error:
        open_source(tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("pad", [None, 29, 40])
def test_a_roberta_without_positions_behind_its_padding_is_refused(tmp_path, pad):
    path = random_source(tmp_path, "roberta") / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pad_token_id": pad}))
    with pytest.raises(XPTError, match="describes no model"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stored, name: stored | {name: stored[name].to(torch.int8)}, "is torch.int8"),
        (lambda stored, name: stored | {name: stored[name] * torch.nan}, "values that are not finite"),
        (lambda stored, name: stored | {name: stored[name][:, :3].clone()}, "has the shape (32, 3)"),
        (lambda stored, name: stored | {f"{name}_gate": stored[name].clone()}, "weight_gate, which its"),
        (lambda stored, name: stored | {name.removeprefix("bert."): stored[name] + 1}, "twice"),
        (
            lambda stored, name: {key: stored[key] for key in stored if "transform.dense.bias" not in key},
            "lacks lm_head.dense.bias (1 of 57",
        ),
    ],
)
def test_weights_that_are_not_whole_are_refused(tmp_path, change, message):
    path = random_source(tmp_path, "bert", 0) / "model.safetensors"
    save_file(change(load_file(path), "bert.encoder.layer.1.output.dense.weight"), path)
    with pytest.raises(XPTError) as error:
        open_source(tmp_path)
    assert message in str(error.value)


def test_shards_are_read_and_missed(tmp_path):
    whole = random_source(tmp_path / "whole", "bert", 0)
    BertForMaskedLM.from_pretrained(whole).save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert open_source(tmp_path / "shards").sha256 == open_source(whole).sha256
    next((tmp_path / "shards").glob("model-00002*")).unlink()
    with pytest.raises(XPTError, match=r"has no model-00002-of-.*, one of "):
        open_source(tmp_path / "shards")
    (tmp_path / "shards" / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(XPTError, match="names no shards"):
        open_source(tmp_path / "shards")


def test_half_precision_and_old_names_are_read_without_a_draw(tmp_path):
    """Names of TensorFlow's time, and a stored buffer; global randomness is left alone."""
    path = random_source(tmp_path, "bert", 0) / "model.safetensors"
    stored = load_file(path)
    old = {
        key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for key, tensor in stored.items()
    }
    old = {key: tensor.to(torch.bfloat16) for key, tensor in old.items()}
    save_file({**old, "bert.embeddings.position_ids": torch.arange(30)}, path)
    state = torch.random.get_rng_state()
    source = open_source(tmp_path)
    assert torch.random.get_rng_state().equal(state)
    for key, tensor in {**source.body, **source.head}.items():
        assert tensor.dtype == torch.float32, key
    name = "encoder.layer.2.output.LayerNorm.weight"
    assert torch.equal(source.body[name], stored[f"bert.{name}"].bfloat16().float())


def test_a_hub_id_without_the_hub_is_refused_in_one_line(monkeypatch):
    """As the client reports it when offline and when the Hub says no."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def answer(error):
        def download(*_, **__):
            raise error

        monkeypatch.setattr("xpt.transplant.source_files.hf_hub_download", download)
        with pytest.raises(XPTError) as caught:
            open_source("nobody/nothing")
        assert "'nobody/nothing'" in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    assert "the Hub cannot be reached" in answer(LocalEntryNotFoundError("offline\nlong"))
    assert "has no config.json" in answer(EntryNotFoundError("404"))
    assert "did not give config.json (broken)" in answer(RuntimeError("broken\npipe"))


def test_all_files_of_a_hub_source_are_of_one_commit(tmp_path, monkeypatch):
    commit = "0123abcd"
    folder = random_source(tmp_path / "snapshots" / commit, "bert", 0)
    asked = []

    def download(name, filename, revision):
        asked.append(revision)
        return str(folder / filename)

    monkeypatch.setattr("xpt.transplant.source_files.hf_hub_download", download)
    described = open_source("some/model", "main").describe()
    assert asked == ["main", commit]
    assert described["revision"] == commit and described["name"] == "some/model"
    described = open_source(folder).describe()
    assert described["revision"] is None and described["name"] == commit
    with pytest.raises(XPTError, match="has no revisions"):
        open_source(folder, "main")
