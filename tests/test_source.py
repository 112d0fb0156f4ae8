"""The transplant: copied means byte for byte, new means drawn by (seed, name), all else is refused."""

import json
from dataclasses import dataclass

import pytest
import torch
from conftest import tiny_config
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertForMaskedLM,
    CamembertConfig,
    CamembertForMaskedLM,
    DebertaConfig,
    DebertaModel,
    GPT2Config,
    GPT2LMHeadModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    set_seed,
)

from xpt.errors import XPTError
from xpt.phases import GROUPS
from xpt.source import TransplantSettings, format_report, open_source, transplant


@dataclass(frozen=True)
class Ids:
    """The ids that the transplant asks of the new tokenizer."""

    bos: int = 0
    pad: int = 1
    eos: int = 2


def random_source(folder, family: str, pad: int = 1, **changes):
    """A checkpoint of the family with all its tensors away from their defaults."""
    set_seed(3)
    small = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    small |= {"intermediate_size": 48, "max_position_embeddings": 30, "pad_token_id": pad, **changes}
    config_type, model_type = {
        "roberta": (RobertaConfig, AutoModel),
        "camembert": (CamembertConfig, CamembertForMaskedLM),
        "xlm-roberta": (XLMRobertaConfig, XLMRobertaForMaskedLM),
        "bert": (type(tiny_config("bert")), BertForMaskedLM),
    }[family]
    config = config_type(**small)
    model = model_type.from_config(config) if model_type is AutoModel else model_type(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    return folder


def build(source, ids=Ids(), embeddings=None, log_probs=None, **settings):
    table = torch.randn(60, 32) if embeddings is None else embeddings
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
    stem = {"bert": "bert.", "camembert": "roberta."}.get(family, "")
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
        "gpt2": "is of type 'gpt2' (GPT2LMHeadModel); supported are encoders of the families roberta, camembert,",
        "mpnet": "is of type 'mpnet' (MPNetModel); supported are",
        "deberta": "is of type 'deberta' (DebertaModel); supported are",
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
        ({"model_type": "xpt-roberta"}, "which is post-trained already"),
        ({"model_type": None}, "is of type None"),
        ({"model_type": ["bert"]}, "is of type ['bert']"),
        ({"hidden_size": "wide"}, "its config.json is not in order"),
        ({"hidden_act": "none"}, "its config.json describes no model"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        ({"num_hidden_layers": 0}, "0 layers"),
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
        (lambda stored, name: stored | {name.removeprefix("bert."): stored[name].clone()}, "twice"),
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
    with pytest.raises(XPTError, match="has no model-00002-of-.*, one of "):
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

        monkeypatch.setattr("xpt.source_files.hf_hub_download", download)
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

    monkeypatch.setattr("xpt.source_files.hf_hub_download", download)
    described = open_source("some/model", "main").describe()
    assert asked == ["main", commit]
    assert described["revision"] == commit and described["name"] == "some/model"
    described = open_source(folder).describe()
    assert described["revision"] is None and described["name"] == commit
    with pytest.raises(XPTError, match="has no revisions"):
        open_source(folder, "main")


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
