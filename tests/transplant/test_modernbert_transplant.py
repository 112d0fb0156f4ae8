"""From a stock ModernBERT and a new vocabulary to an XPT model: what is copied, and how the rest starts."""

from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import torch
from tiny_models import VOCAB, ids
from tiny_modernberts import make_stock
from transformers import ModernBertForMaskedLM

from configuration_xpt_modernbert import XPTModernBertConfig
from modeling_xpt_modernbert import GLOBAL, LOCAL
from xpt.program.errors import XPTError
from xpt.training.parts import Parts
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source import TransplantSettings, format_report, open_source, transplant

ROWS = 50
SPECIAL = SimpleNamespace(bos=3, pad=1, eos=4, vocab_size=ROWS)
TABLE = torch.randn(ROWS, 32, generator=torch.Generator().manual_seed(3))
LAYERS = 5


def built(source=None, table=TABLE, special=SPECIAL, bias=None, **settings):
    """Around a source that is opened as a user's is: from a folder."""
    source = make_stock(num_hidden_layers=LAYERS) if source is None else source
    with TemporaryDirectory() as folder:
        source.save_pretrained(folder)
        opened = open_source(folder)
    return transplant(opened, TransplantSettings(**settings), special, table, bias)


def groups_of(model):
    return {name: parameter_group(name, model.config) for name, _ in model.named_parameters()}


@pytest.mark.parametrize("layers", [2, 3, LAYERS])
@pytest.mark.parametrize("start", ["identity", "zero_output"])
def test_with_the_source_s_own_words_the_model_is_the_source(start, layers):
    """Its first layers, of whatever window; the reference is a stock model that has no more of them."""
    source = make_stock(num_hidden_layers=LAYERS, global_attn_every_n_layers=2)
    special = SimpleNamespace(bos=0, pad=1, eos=2, vocab_size=VOCAB)
    settings = {"source_num_layers": layers, "itl_init": start, "num_itl_in": 2, "num_itl_out": 1}
    model, report = built(source, table=None, special=special, **settings)
    cut = make_stock(num_hidden_layers=layers, global_attn_every_n_layers=2)
    cut.load_state_dict({name: source.state_dict()[name] for name in cut.state_dict()})
    assert model.config.layer_types == source.config.layer_types[:layers] == cut.config.layer_types
    found = model.eval()(ids(2, 30))
    torch.testing.assert_close(found.logits, cut(ids(2, 30)).logits, rtol=0, atol=1e-5)
    assert report["groups"]["word_embeddings"] == {"copied": VOCAB * 32, "new": 0}


def test_every_tensor_is_copied_or_new_as_the_report_says():
    source = make_stock(num_hidden_layers=LAYERS)
    bias = torch.arange(ROWS, dtype=torch.float32)
    model, report = built(source, bias=bias)
    own, groups = source.state_dict(), groups_of(model)
    assert set(groups.values()) == {
        *("word_embeddings", "source_embeddings.norm", "itl.in", "itl.out", "encoder.norm"),
        *(f"encoder.{number}" for number in range(LAYERS)),
        *("lm_head_transform", "lm_head_bias"),
    }
    counts = {}
    for name, tensor in model.named_parameters():
        group = groups[name].split(".")[0]
        new = group in ("word_embeddings", "itl", "lm_head_bias")
        assert new or torch.equal(tensor, own[name]), name
        counts.setdefault(group, {"copied": 0, "new": 0})["new" if new else "copied"] += tensor.numel()
    assert {group: kinds for group, kinds in report["groups"].items() if sum(kinds.values())} == counts
    assert torch.equal(model.model.embeddings.tok_embeddings.weight, TABLE)
    assert model.decoder.weight is model.model.embeddings.tok_embeddings.weight
    assert torch.equal(model.decoder.bias, bias) and not built()[0].decoder.bias.any()
    config = model.config
    assert (config.vocab_size, config.bos_token_id, config.cls_token_id) == (ROWS, 3, 3)
    assert (config.pad_token_id, config.eos_token_id, config.sep_token_id) == (1, 4, 4)
    assert Parts.of_report(report).new == ("word_embeddings", "itl", "lm_head_bias")
    assert f"{counts['itl']['new']:,}" in format_report(report)
    assert {tensor.dtype for tensor in built(source.bfloat16())[0].parameters()} == {torch.float32}


def test_what_is_new_depends_on_seed_and_name_alone():
    first, again, other = (built(seed=seed, num_itl_in=2)[0].state_dict() for seed in (1, 1, 2))
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        assert torch.equal(tensor, other[name]) != (".itl_" in name and tensor.dim() > 1), name
    stem = "model.itl_in.{}.mlp.Wi.weight"
    assert not torch.equal(first[stem.format(0)], first[stem.format(1)])
    fewer = built(seed=1, num_itl_out=0, lm_head_init="random")[0].state_dict()
    assert torch.equal(fewer[stem.format(0)], first[stem.format(0)])
    source = make_stock()
    before = torch.get_rng_state()
    built(source)
    assert torch.equal(torch.get_rng_state(), before)


def test_new_layers_start_as_modernbert_s():
    """Deviation and cut-off, by transformers' own initialization of as many layers."""
    source = make_stock(num_hidden_layers=LAYERS, hidden_size=64, intermediate_size=96)
    model, _ = built(source, torch.zeros(ROWS, 64), num_itl_in=4, num_itl_out=3)
    described = source.config.to_dict() | {"num_hidden_layers": 12, "layer_types": [GLOBAL, LOCAL] * 6}
    stock = ModernBertForMaskedLM(type(source.config)(**described))
    for part in ("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"):
        ours = torch.stack([layer.get_parameter(f"{part}.weight") for layer in model.model.itl_in])
        theirs = torch.stack([layer.get_parameter(f"{part}.weight") for layer in stock.model.layers])
        for measure in (torch.std, lambda values: values.abs().max()):
            assert measure(ours).item() == pytest.approx(measure(theirs).item(), rel=0.05)
    small = built(source, torch.zeros(ROWS, 64), num_itl_in=4, num_itl_out=3, itl_init="near_identity")[0]
    for name, tensor in model.named_parameters():
        factor = 0.1 if ".itl_" in name and ".Wo." in name else 1.0
        torch.testing.assert_close(small.get_parameter(name), tensor * factor)


def test_copies_are_of_the_nearest_layer_that_attends_to_all():
    types = [LOCAL, GLOBAL, LOCAL, GLOBAL, LOCAL]
    source = make_stock(num_hidden_layers=LAYERS, layer_types=types)
    model = built(source, itl_init="copy", num_itl_in=2)[0].model
    for itl, place in ((model.itl_in[0], 1), (model.itl_in[1], 1), (model.itl_out[0], 3)):
        expected = source.model.layers[place].state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in itl.state_dict().items())
    usual = make_stock(num_hidden_layers=2)  # the first layer attends to all, and lacks a norm
    model = built(usual, itl_init="copy")[0].model
    for itl in (model.itl_in[0], model.itl_out[0]):
        assert torch.equal(itl.attn.Wo.weight, usual.model.layers[0].attn.Wo.weight)
        assert torch.equal(itl.attn_norm.weight, usual.model.embeddings.norm.weight)


def test_a_control_copies_nothing():
    source = make_stock(num_hidden_layers=LAYERS)
    model, report = built(source, layers_init="random")
    assert not report["layers_copied"] and report["lm_head_transform_is_new"] and report["notes"]
    assert not any(kinds["copied"] for kinds in report["groups"].values())
    for name, tensor in model.named_parameters():
        if tensor.dim() > 1 and name in source.state_dict() and "embeddings" not in name:
            assert not torch.equal(tensor, source.state_dict()[name])
    head = built(source, lm_head_init="random")[1]
    assert head["lm_head_transform_is_new"] and head["groups"]["encoder"]["new"] == 0
    assert Parts.of_report(head).new == ("word_embeddings", "itl", "lm_head_transform", "lm_head_bias")


def test_a_post_trained_source_goes_on_with_its_itls():
    first, _ = built(num_itl_in=2, num_itl_out=0)
    again, report = built(first, table=None)
    assert all(torch.equal(tensor, first.state_dict()[name]) for name, tensor in again.state_dict().items())
    assert not any(kinds["new"] for kinds in report["groups"].values())
    anew = built(first, itl_init="random", seed=5)[0].state_dict()
    assert not torch.equal(anew["model.itl_in.0.attn.Wo.weight"], first.model.itl_in[0].attn.Wo.weight)
    with pytest.raises(XPTError, match=r"--num_itl_in is 1, but the ITLs of source .* are kept and are 2"):
        built(first, num_itl_in=1)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"source_num_layers": LAYERS + 1}, "--source_num_layers is 6; source .* has 1 to 5"),
        ({"architecture": "trelm"}, "--architecture trelm"),
        ({"itl_init": "copy", "layers_init": "random"}, "--itl_init copy contradicts"),
        ({"lm_head_init": "copy", "layers_init": "random"}, "--lm_head_init copy contradicts"),
        ({"num_itl_out": -1}, "--num_itl_out is -1"),
    ],
)
def test_settings_that_the_source_cannot_serve_are_refused(settings, complaint):
    with pytest.raises(XPTError, match=complaint):
        built(**settings)


def test_sources_that_cannot_serve_are_refused():
    with pytest.raises(XPTError, match="60 word embeddings for the 61 ids"):
        built(table=None, special=SimpleNamespace(bos=0, pad=1, eos=2, vocab_size=61))
    with pytest.raises(XPTError, match="tie_word_embeddings is false"):
        built(make_stock(tie_word_embeddings=False))


def test_a_single_layer_keeps_the_turns_of_both_types():
    model = built(source_num_layers=1)[0]
    turns = {kind: turn["rope_theta"] for kind, turn in model.config.rope_parameters.items()}
    assert turns == {GLOBAL: 160_000.0, LOCAL: 10_000.0} and model.config.layer_types == [GLOBAL]
    assert XPTModernBertConfig(**model.config.to_dict()).rope_parameters == model.config.rope_parameters
