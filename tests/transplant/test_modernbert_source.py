"""A ModernBERT's checkpoint is opened whole, or refused in one line; no code of it is run."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import VOCAB
from tiny_modernberts import make_stock
from transformers import ModernBertForSequenceClassification, ModernBertModel

from xpt.program.errors import XPTError
from xpt.transplant.source import open_source


def changed(folder, **fields):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_tensors_are_the_checkpoint_s(tmp_path):
    stock = make_stock()
    stock.bfloat16().save_pretrained(tmp_path, max_shard_size="20KB")
    source, own = open_source(tmp_path), stock.float().state_dict()
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert source.describe()["family"] == "modernbert" and source.positions == 256 and not source.is_xpt
    found = {**source.body, **{f"head.{name}": tensor for name, tensor in source.head.items()}}
    found["decoder.bias"] = source.output_bias
    assert found.keys() == own.keys() - {"decoder.weight"}
    assert all(torch.equal(tensor, own[name]) for name, tensor in found.items())
    assert source.word_embeddings.shape == (VOCAB, 32)


def test_a_backbone_alone_has_no_head(tmp_path):
    stock = make_stock(ModernBertModel)
    stock.save_pretrained(tmp_path)
    source = open_source(tmp_path)
    assert source.head is None and source.output_bias is None
    assert torch.equal(source.body["model.layers.3.mlp.Wo.weight"], stock.layers[3].mlp.Wo.weight)


def test_fields_of_older_files_are_read(tmp_path):
    make_stock().save_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    del raw["layer_types"], raw["rope_parameters"]
    older = {"global_attn_every_n_layers": 2, "global_rope_theta": 80_000.0, "local_rope_theta": 500.0}
    (tmp_path / "config.json").write_text(json.dumps(raw | older))
    config = open_source(tmp_path).config
    assert config.layer_types == ["full_attention", "sliding_attention"] * 2
    assert {kind: turn["rope_theta"] for kind, turn in config.rope_parameters.items()} == {
        "full_attention": 80_000.0, "sliding_attention": 500.0,
    }  # fmt: skip


MIXED = ["full_attention", "sliding_attention"] * 3  # transformers 5.4 makes no model of one type alone


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, r"code of its own \(auto_map\)"),
        ({"quantization_config": {"bits": 4}}, "quantized"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is false"),
        ({"num_hidden_layers": 10**12}, "describes no model"),
        ({"num_hidden_layers": -1, "layer_types": []}, "describes no model"),
        ({"hidden_size": "32"}, "describes no model"),
        ({"hidden_size": 64}, "has the shape"),
        ({"num_hidden_layers": 3, "layer_types": MIXED[:3]}, "does not describe"),
        ({"num_hidden_layers": 5, "layer_types": MIXED[:5]}, "lacks model.layers.4"),
    ],
)
def test_what_is_no_such_model_is_refused(fields, complaint, tmp_path):
    make_stock().save_pretrained(tmp_path)
    changed(tmp_path, **fields)
    with pytest.raises(XPTError, match=complaint) as error:
        open_source(tmp_path)
    assert "\n" not in str(error.value)


def test_damaged_tensors_are_refused(tmp_path):
    make_stock().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    own = load_file(path)
    for tensors, complaint in (
        ({**own, "head.norm.weight": torch.full((32,), torch.nan)}, "not finite"),
        ({name: tensor for name, tensor in own.items() if name != "head.norm.weight"}, "lacks head.norm"),
        ({**own, "classifier.weight": torch.zeros(2, 32)}, "holds classifier.weight"),
    ):
        save_file(tensors, path, {"format": "pt"})
        with pytest.raises(XPTError, match=complaint):
            open_source(tmp_path)


def test_the_head_of_a_classifier_is_not_taken_for_a_language_model_s(tmp_path):
    make_stock(ModernBertForSequenceClassification).save_pretrained(tmp_path)
    with pytest.raises(XPTError, match="classifier"):
        open_source(tmp_path)
