"""The transplant into a TreLM: every layer is the source's, the TRILayer a copy of the one behind it."""

import pytest
import torch
from test_source import build
from tiny_sources import random_source

from modeling_trelm import TreLMRobertaForMaskedLM
from xpt.program.errors import XPTError
from xpt.transplant.source import open_source


@pytest.mark.parametrize("family", ["roberta", "bert"])
def test_what_is_copied_and_what_is_new(tmp_path, family):
    source = open_source(random_source(tmp_path, family, 1, num_hidden_layers=4))
    model, report = build(source, architecture="trelm")
    assert type(model) is TreLMRobertaForMaskedLM and report["architecture"] == "trelm"
    assert (model.config.num_itl_in, model.config.num_itl_out) == (0, 0)
    tensors = dict(model.named_parameters())
    for name, tensor in source.body.items():
        if name.startswith("encoder.layer."):
            assert torch.equal(tensors[f"roberta.{name}"], tensor), name
            if name.startswith("encoder.layer.2."):
                copy = tensors[f"roberta.tri.{name.removeprefix('encoder.layer.2.')}"]
                assert torch.equal(copy, tensor) and copy.data_ptr() != tensors[f"roberta.{name}"].data_ptr()
    layer = sum(t.numel() for n, t in source.body.items() if n.startswith("encoder.layer.2."))
    assert report["groups"]["tri"] == {"copied": layer, "new": 0}
    assert report["groups"]["language_embeddings"] == {"copied": 0, "new": 2 * model.config.hidden_size}
    again, _ = build(source, architecture="trelm")
    table = model.roberta.language_embeddings.weight
    assert torch.equal(table, again.roberta.language_embeddings.weight)
    assert 0.5 < table.std() / model.config.initializer_range < 2


def test_odd_layers_have_no_halves(tmp_path):
    source = open_source(random_source(tmp_path, "roberta", 1, num_hidden_layers=4))
    with pytest.raises(XPTError, match="3 layers have none; give an even --source_num_layers"):
        build(source, architecture="trelm", source_num_layers=3)
    model, _ = build(source, architecture="trelm", source_num_layers=2)
    assert len(model.roberta.encoder.layer) == 2


def test_nothing_is_copied_into_a_control(tmp_path):
    source = open_source(random_source(tmp_path, "roberta", 1, num_hidden_layers=2))
    _, report = build(source, architecture="trelm", layers_init="random")
    assert not any(kinds["copied"] for kinds in report["groups"].values())
