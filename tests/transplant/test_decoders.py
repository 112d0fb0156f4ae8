"""The transplant of decoders, over the rows of the table of architectures."""

import json

import pytest
import torch
from alone import WITHOUT_THE_PACKAGE, run_alone
from tiny_decoders import LAYERS, OWN, VOCABULARY, Special, decoder_source, logits, random_decoder, some_ids
from transformers import AutoModelForCausalLM

from xpt.program.errors import XPTError
from xpt.transplant.architectures import DECODERS
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source import TransplantSettings, transplant
from xpt.transplant.source_checkpoint import open_source

KINDS = sorted(DECODERS)
BOTH = [(kind, tied) for kind in KINDS for tied in (True, False)]
IDS = some_ids(2, 20)


def moved(source, special=None, **settings):
    """The model around the source's layers, with the source's own embeddings."""
    own = (source.word_embeddings, None, source.output_embeddings)
    return transplant(source, TransplantSettings(**settings), special or Special(), *own)[0]


def test_every_row_of_the_table_is_tested():
    assert set(OWN) == set(KINDS)


@pytest.mark.parametrize("kind,tied", BOTH)
def test_without_itls_it_has_the_sources_hidden_states_and_identities_change_no_bit(kind, tied, tmp_path):
    source = open_source(decoder_source(tmp_path, kind, tied))
    theirs = random_decoder(kind, tied)
    with torch.no_grad():
        wanted = theirs(IDS, output_hidden_states=True)
        plain = moved(source, num_itl_in=0, num_itl_out=0).eval()(IDS, output_hidden_states=True)
    for one, other in zip(wanted.hidden_states, plain.hidden_states, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-5)
    for itls in ({}, {"num_itl_in": 2, "num_itl_out": 0}):
        identity = moved(source, itl_init="identity", **itls)
        assert torch.equal(logits(identity, IDS), wanted.logits)
    assert not torch.allclose(logits(moved(source, itl_init="random"), IDS), wanted.logits, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_a_stock_model_that_names_its_itls(kind, tmp_path):
    source = open_source(decoder_source(tmp_path / "source", kind, tied=False))
    model, report = transplant(
        source, TransplantSettings(num_itl_in=2), Special(vocab_size=40), torch.zeros(40, 32), None,
        torch.ones(40, 32),
    )  # fmt: skip
    model.save_pretrained(tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["num_itl_in"], config["num_itl_out"], config["num_hidden_layers"]) == (2, 1, LAYERS + 3)
    assert "auto_map" not in config and config["architectures"] == [DECODERS[kind].model.__name__]
    types = config.get("layer_types")
    if types:
        own = source.config.layer_types
        assert types == [*["full_attention"] * 2, *own, "full_attention"]
    groups = {parameter_group(name, model.config) for name, _ in model.named_parameters()}
    layers = {f"encoder.{layer}" for layer in range(LAYERS)}
    assert groups == {"word_embeddings", "output_embeddings", "itl.in", "itl.out", "final_norm"} | layers
    assert report["layers"] == LAYERS and report["objective"] == "clm"
    assert (model.get_output_embeddings().weight == 1).all()
    assert (model.get_input_embeddings().weight == 0).all()
    assert [layer.self_attn.layer_idx if hasattr(layer, "self_attn") else layer.attention.layer_idx
            for layer in model.base_model.layers] == list(range(LAYERS + 3))  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_layer_starts_as_the_stock_class_starts_one(kind, tmp_path):
    source = open_source(decoder_source(tmp_path, kind))
    model = moved(source)
    stock = DECODERS[kind].model(model.config)  # whose norms and biases are not drawn
    for (name, ours), (_, theirs) in zip(model.named_parameters(), stock.named_parameters(), strict=True):
        if parameter_group(name, model.config).startswith("itl.") and ours.dim() == 1:
            assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("kind", KINDS)
def test_random_itls_leave_the_residual_path(kind, tmp_path):
    """What the first ITL reads is there behind it, too: without what it adds, it is all there is."""
    model = moved(open_source(decoder_source(tmp_path, kind)), itl_init="random")
    layer, seen = model.base_model.layers[0], {}
    layer.register_forward_hook(lambda module, args, output: seen.update(before=args[0], after=output))
    with torch.no_grad():
        for name, tensor in layer.named_parameters():
            if any(name.endswith(f"{output}weight") for output in DECODERS[kind].layout.outputs):
                tensor.zero_()
    logits(model, IDS)
    assert torch.equal(seen["before"], seen["after"])


def test_the_first_layers_alone_keep_what_is_said_of_each(tmp_path):
    source = open_source(decoder_source(tmp_path, "gemma2"))
    model = moved(source, source_num_layers=2)
    assert model.config.layer_types == ["full_attention", *source.config.layer_types[:2], "full_attention"]
    assert model.config.num_hidden_layers == 4


def test_files_of_older_releases_give_the_same_rotation(tmp_path):
    """rope_theta and rotary_pct stood beside the other fields, and buffers in the weights."""
    from safetensors.torch import load_file, save_file

    for kind, names in (("llama", ("rope_theta",)), ("gpt_neox", ("rotary_emb_base", "rotary_pct"))):
        folder = decoder_source(tmp_path / kind, kind)
        config = json.loads((folder / "config.json").read_text())
        new = config.pop("rope_parameters")
        config |= dict(zip(names, (new["rope_theta"], new.get("partial_rotary_factor")), strict=False))
        (folder / "config.json").write_text(json.dumps(config))
        tensors = load_file(folder / "model.safetensors")
        stem = DECODERS[kind].layout.layers
        tensors[f"{stem}0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
        tensors[f"{stem}0.attention.masked_bias"] = torch.ones(1)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        model = moved(open_source(folder), num_itl_in=0, num_itl_out=0)
        assert torch.allclose(logits(model, IDS), logits(random_decoder(kind), IDS), atol=1e-5)


def test_a_model_without_head_is_a_source_too(tmp_path):
    random_decoder("llama", tied=False).base_model.save_pretrained(tmp_path)
    source = open_source(tmp_path)
    assert torch.equal(source.output_embeddings, source.word_embeddings)


def test_a_post_trained_decoder_goes_on_with_its_itls_and_its_vocabulary(tmp_path):
    first = moved(open_source(decoder_source(tmp_path / "source", "gemma3_text", tied=False)))
    first.save_pretrained(tmp_path / "first")
    source = open_source(tmp_path / "first")
    assert source.is_xpt and source.config.num_hidden_layers == LAYERS
    kept, report = transplant(source, TransplantSettings(), Special(), None)
    assert torch.equal(logits(kept, IDS), logits(first, IDS))
    assert kept.config.layer_types == first.config.layer_types
    assert "ITLs copied" in report["notes"][0]
    anew = transplant(source, TransplantSettings(itl_init="random", num_itl_in=0), Special(), None)[0]
    assert anew.config.num_hidden_layers == LAYERS + 1


def _edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


REFUSED = {
    "quantized": (
        {"quantization_config": {"bits": 4}},
        "quantized; give the checkpoint that it was made from",
    ),
    "code": ({"auto_map": {"AutoModel": "x.Y"}}, "computes with code of its own"),
    "size": ({"vocab_size": 0}, "vocab_size is 0"),
    "layers": ({"num_hidden_layers": 5}, "lacks model.layers.3."),
    "fewer": ({"num_hidden_layers": 2}, "which its config.json does not describe"),
    "width": ({"intermediate_size": 64}, "has the shape (32, 48), but its config.json describes (32, 64)"),
    "itls": ({"num_itl_in": 2, "num_itl_out": 1}, "no layer is left between its ITLs"),
    "heads": ({"num_attention_heads": 5}, "describes no model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_source_is_refused_in_one_line(case, tmp_path):
    changes, said = REFUSED[case]
    folder = decoder_source(tmp_path, "llama")
    _edit(folder, **changes)
    with pytest.raises(XPTError) as error:
        open_source(folder)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings,said",
    [
        ({"architecture": "trelm"}, "--architecture trelm is for encoders"),
        ({"lm_head_init": "copy"}, "has no LM head"),
        ({"source_num_layers": 9}, "has 1 to 3"),
    ],
)
def test_settings_that_a_decoder_cannot_serve_are_refused(settings, said, tmp_path):
    source = open_source(decoder_source(tmp_path, "llama"))
    with pytest.raises(XPTError, match=said):
        moved(source, **settings)


def test_identity_is_refused_where_layers_normalize_behind_their_sums(tiny_source):
    source = open_source(tiny_source("roberta"))
    with pytest.raises(XPTError, match="none is an identity; give zero_output"):
        transplant(source, TransplantSettings(itl_init="identity"), Special(), source.word_embeddings)


ALONE = f"""{WITHOUT_THE_PACKAGE}
import json, sys, torch
from transformers import AutoModelForCausalLM
folder, ids = sys.argv[1], json.loads(sys.argv[2])
told = {{}}
for kind in json.loads(sys.argv[3]):
    model = AutoModelForCausalLM.from_pretrained(f"{{folder}}/{{kind}}").eval()
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    with torch.no_grad():
        logits = model(torch.tensor(ids)).logits
        written = model.generate(torch.tensor(ids), max_new_tokens=5, do_sample=False)
    told[kind] = [logits.flatten().tolist(), written.tolist(), type(model).__module__]
print(json.dumps(told))
"""


def test_without_the_package_it_loads_generates_and_has_the_same_logits(tmp_path):
    models = {}
    for kind in KINDS:
        source = open_source(decoder_source(tmp_path / f"{kind}-source", kind, tied=False))
        models[kind] = moved(source, itl_init="random")
        models[kind].save_pretrained(tmp_path / kind)
    told, _ = run_alone(ALONE, tmp_path, tmp_path, json.dumps(IDS.tolist()), json.dumps(KINDS))
    for kind, model in models.items():
        theirs, written, module = told[kind]
        ours = logits(model, IDS)
        assert torch.equal(ours.flatten(), torch.tensor(theirs)), kind
        assert module.startswith("transformers.models.")
        assert len(written[0]) > IDS.shape[1]
    assert isinstance(AutoModelForCausalLM.from_pretrained(tmp_path / KINDS[0]), DECODERS[KINDS[0]].model)
    assert ours.shape[-1] == VOCABULARY
