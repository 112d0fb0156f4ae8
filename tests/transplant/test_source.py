"""The transplant: copied means byte for byte, new means drawn by (seed, name), all else is refused."""

import json
from dataclasses import dataclass, replace

import pytest
import torch
from safetensors.torch import load_file
from tiny_sources import random_source
from transformers import AutoModel

from xpt.program.errors import XPTError
from xpt.transplant.parameter_groups import GROUPS
from xpt.transplant.source import TransplantSettings, format_report, open_source, transplant


@dataclass(frozen=True)
class Ids:
    """The ids that the transplant asks of the new tokenizer."""

    bos: int = 0
    pad: int = 1
    eos: int = 2
    vocab_size: int = 60


def build(source, ids=Ids(), embeddings=None, log_probs=None, **settings):
    table = torch.randn(60, 32) if embeddings is None else embeddings
    ids = replace(ids, vocab_size=len(table))
    return transplant(source, TransplantSettings(**settings), ids, table, log_probs)


SOURCES = [
    ("roberta", 1),
    ("roberta", 0),
    ("roberta", 5),
    ("camembert", 1),
    ("xlm-roberta", 1),
    ("bert", 0),
    ("bert", 3),
]


@pytest.mark.parametrize("explicit_positions", [True, False])
@pytest.mark.parametrize("our_pad", [1, 4])
@pytest.mark.parametrize(("family", "pad"), SOURCES)
def test_with_the_sources_embeddings_and_no_itl_hidden_states_are_the_sources(
    tmp_path, family, pad, our_pad, explicit_positions
):
    """Ids 0, 1, 2 and padding among the inputs.

    Where positions follow from the ids, our padding id means padding, so the two padding ids change places in
    the table; with explicit positions every id is an ordinary one.
    """
    changes = {"layer_norm_eps": 1e-3, "type_vocab_size": 2} if family == "bert" else {"layer_norm_eps": 1e-6}
    folder = random_source(tmp_path, family, pad, hidden_act="gelu_new", **changes)
    source = open_source(folder)
    swap = torch.arange(90)
    if not explicit_positions:
        swap[pad], swap[our_pad] = our_pad, pad
    model, _ = build(source, Ids(pad=our_pad), source.word_embeddings[swap], num_itl_in=0, num_itl_out=0)
    ids = torch.tensor([[0, 1, 2, 7, 89, 2, 1, 0, 33, 4, 5], [5, 4, 0, 2, 1, 60, pad, pad, pad, pad, pad]])
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids = ids.where(
        (mask == 0) | (ids != pad), torch.tensor(11)
    )  # a padding id is no content in the source either
    reference = AutoModel.from_pretrained(folder).eval()
    ours = model.roberta.eval()
    positions = {"position_ids": torch.arange(11).expand(2, 11) + our_pad + 1} if explicit_positions else {}
    with torch.no_grad():
        expected = reference(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        found = ours(
            input_ids=swap[ids], attention_mask=mask, output_hidden_states=True, **positions
        ).hidden_states
    assert len(found) == len(expected) == 4
    for ours_, theirs in zip(found, expected, strict=True):
        assert (ours_ - theirs)[mask == 1].abs().max() < 1e-5


@pytest.mark.parametrize("family", ["roberta", "bert", "camembert"])
def test_copied_tensors_are_byte_identical_and_the_first_layers_are_kept(tmp_path, family):
    source = open_source(random_source(tmp_path, family, pad=0 if family == "bert" else 1))
    model, report = build(source, source_num_layers=2)
    tensors = dict(model.named_parameters())
    assert model.config.num_hidden_layers == 2 == report["layers"]
    stored = load_file(tmp_path / "model.safetensors")
    stem = {"bert": "bert."}.get(family, "roberta.")
    for name, tensor in tensors.items():
        if ".encoder." in name or "token_type" in name or "embeddings.LayerNorm" in name:
            assert torch.equal(tensor, stored[stem + name.removeprefix("roberta.")]), name
    table = tensors["roberta.embeddings.position_embeddings.weight"]
    theirs = stored[f"{stem}embeddings.position_embeddings.weight"]
    used = theirs if family == "bert" else theirs[2:]
    assert torch.equal(table[2:], used) and not table[:2].any() and len(table) == 2 + len(used)


def test_new_tensors_depend_on_seed_and_name_alone(tiny_source):
    source = open_source(tiny_source("roberta"))
    torch.manual_seed(1)
    first, _ = build(source, embeddings=torch.zeros(60, 32), seed=4)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    again, _ = build(source, embeddings=torch.zeros(50, 32), seed=4, num_itl_in=2, source_num_layers=1)
    assert torch.random.get_rng_state().equal(state)
    other, _ = build(source, embeddings=torch.zeros(60, 32), seed=5)
    for name, tensor in first.named_parameters():
        if ".itl_" in name:
            assert torch.equal(tensor, dict(again.named_parameters())[name])
            if tensor.dim() == 2:
                assert not torch.equal(tensor, dict(other.named_parameters())[name])
    assert not torch.equal(
        first.roberta.itl_in[0].output.dense.weight, first.roberta.itl_out[0].output.dense.weight
    )


def test_itl_starts(tiny_source):
    source = open_source(tiny_source("roberta"))
    plain, near, copied = (
        build(source, itl_init=kind)[0].roberta for kind in ("random", "near_identity", "copy")
    )
    for name, tensor in plain.itl_in[0].named_parameters():
        scale = 0.1 if name in ("attention.output.dense.weight", "output.dense.weight") else 1.0
        assert torch.equal(dict(near.itl_in[0].named_parameters())[name], tensor * scale), name
    empty = build(source, itl_init="zero_output")[0].roberta.itl_in[0].eval()
    hidden = torch.randn(2, 7, 32)
    normalized = torch.nn.functional.layer_norm(hidden, (32,), eps=1e-5)
    assert torch.allclose(
        empty(hidden), torch.nn.functional.layer_norm(normalized, (32,), eps=1e-5), atol=1e-6
    )
    for itl, layer in (
        (copied.itl_in[0], copied.encoder.layer[0]),
        (copied.itl_out[0], copied.encoder.layer[2]),
    ):
        for name, tensor in itl.named_parameters():
            assert torch.equal(tensor, dict(layer.named_parameters())[name])


@pytest.mark.parametrize(
    ("family", "head", "init", "new"),
    [
        ("roberta", True, "auto", False),
        ("roberta", True, "random", True),
        ("bert", True, "copy", False),
        ("bert", False, "auto", True),
    ],
)
def test_lm_head_transform(tiny_source, family, head, init, new):
    source = open_source(tiny_source(family, head))
    model, report = build(source, lm_head_init=init)
    assert report["lm_head_transform_is_new"] is new
    if not new:
        stored = load_file(tiny_source(family, head) / "model.safetensors")
        stem = "lm_head.dense" if family == "roberta" else "cls.predictions.transform.dense"
        assert torch.equal(model.lm_head.dense.weight, stored[f"{stem}.weight"])


def test_output_bias_is_the_given_log_frequencies_or_zero(tiny_source):
    source = open_source(tiny_source("bert"))
    log_probs = torch.rand(60).log()
    assert torch.equal(build(source, log_probs=log_probs)[0].lm_head.bias, log_probs)
    assert not build(source)[0].lm_head.bias.any()


def test_the_report_counts_every_parameter_once(tiny_source):
    model, report = build(open_source(tiny_source("bert", False)))
    counted = sum(sum(counts.values()) for counts in report["groups"].values())
    assert counted == sum(parameter.numel() for parameter in model.parameters())
    assert report["groups"]["encoder"]["new"] == 0 == report["groups"]["itl"]["copied"]
    assert all(group in format_report(report) for group in GROUPS) and json.dumps(report)


@pytest.mark.parametrize(("family", "noted"), [("bert", True), ("roberta", False)])
def test_a_head_that_computes_another_activation_is_noted(tiny_source, tmp_path, family, noted):
    """BERT's head computes `hidden_act`, RoBERTa's exact GELU whatever its layers do."""
    for file in tiny_source(family).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_act": "gelu_new"}))
    _, report = build(open_source(tmp_path))
    assert bool(report["notes"]) is noted
    assert ("gelu_new" in format_report(report)) is noted


def test_settings_the_source_cannot_serve_are_refused(tiny_source):
    with pytest.raises(XPTError, match="has no LM head; give auto or random"):
        build(open_source(tiny_source("bert", False)), lm_head_init="copy")
    for layers in (0, 4, -1):
        with pytest.raises(XPTError, match=f"--source_num_layers is {layers}; .* has 1 to 3"):
            build(open_source(tiny_source("bert")), source_num_layers=layers)
