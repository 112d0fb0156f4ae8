"""Every family that is a source gives its own hidden states in our shell: `FAMILIES`, row by row."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_sources import COUNTED_FROM_PADDING, RENAMED, SHAPES, random_config, random_source
from transformers import AutoModel

from xpt.program.errors import XPTError
from xpt.text.special_tokens import SpecialIds
from xpt.transplant.architectures import architecture_of
from xpt.transplant.families import FAMILIES, REFUSED
from xpt.transplant.source import TransplantSettings, open_source, transplant

TOLERANCE = 1e-5
NO_ITLS = {"num_itl_in": 0, "num_itl_out": 0}
VARIANTS = {
    "usual": {},
    "another activation": {"hidden_act": "gelu_new"},
    "relu": {"hidden_act": "relu", "gelu_activation": False},
    "epsilon": {"layer_norm_eps": 1e-3},
    "heads": {"num_attention_heads": 8, "n_heads": 8, "encoder_attention_heads": 8},
    "positions": {"max_position_embeddings": 17},
    "token types": {"type_vocab_size": 3},
    "padding elsewhere": {"pad": 4},
    "sinusoidal": {"sinusoidal_pos_embds": True, "sinusoidal_embeddings": True},
    "without task ids": {"use_task_id": False},
}


def known_changes(family, changes):
    """Those of the changes that the family's configuration knows."""
    own = random_config(family).to_dict()
    renamed = RENAMED.get(family, {})
    return {
        name: value
        for name, value in changes.items()
        if name == "pad" or renamed.get(name) or (name in own and name not in renamed)
    }


def source_of(folder, family, head="usual", **changes):
    """A checkpoint of the family; changes that its configuration does not know are left out."""
    return random_source(folder, family, head=head, **known_changes(family, changes))


CASES = [
    (family, variant)
    for family in FAMILIES
    for variant in VARIANTS
    if variant == "usual" or known_changes(family, VARIANTS[variant])
]


def in_our_shell(source, **settings):
    """The source's layers without ITLs (a post-trained source's own), reading the source's own vocabulary."""
    pad = source.config.pad_token_id
    special = SpecialIds(0, pad, 2, 3, len(source.word_embeddings), (0, pad, 2, 3))
    own = {"architecture": architecture_of(source.family).name} if source.is_xpt else NO_ITLS
    model, report = transplant(source, TransplantSettings(**own, **settings), special, source.word_embeddings)
    return model.eval(), report


def reference_model(folder, family):
    """The source's encoder by transformers' own class."""
    model = AutoModel.from_pretrained(folder).eval()
    return model.encoder if family == "bart" else model


def full_batch(positions, pad):
    """Ids and mask, (2, positions): one row to the last position, one padded behind its half."""
    ids = torch.randint(5, 90, (2, positions), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[1, positions // 2 :], mask[1, positions // 2 :] = pad, 0
    return ids, mask


@torch.no_grad()
def largest_difference(folder, family):
    """Over all hidden states of all tokens: from the source's embedded tokens on, and from ids on."""
    source = open_source(folder)
    model, _ = in_our_shell(source)
    reference = reference_model(folder, family)
    ids, mask = full_batch(len(source.used_positions), source.config.pad_token_id)
    theirs = reference(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    ours = model.roberta(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    assert len(ours) == len(theirs) == 1 + source.config.num_layers_with_itls
    differences = [(our - their)[mask == 1].abs().max() for our, their in zip(ours, theirs, strict=True)]
    if not source.is_xpt:  # the layers alone: what the source's embeddings give, through our encoder
        layer_mask = torch.where(mask[:, None, None].bool(), 0.0, torch.finfo(torch.float32).min)
        last = model.roberta.encoder(theirs[0], layer_mask.expand(-1, 1, ids.shape[1], -1)).last_hidden_state
        differences.append((last - theirs[-1])[mask == 1].abs().max())
    return float(max(differences))


def test_every_family_has_a_tiny_model():
    assert set(SHAPES) == set(FAMILIES) and not set(FAMILIES) & set(REFUSED)


@pytest.mark.parametrize(("family", "variant"), CASES)
def test_hidden_states_are_the_sources(tmp_path, family, variant):
    folder = source_of(tmp_path, family, **VARIANTS[variant])
    assert largest_difference(folder, family) < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_without_head_in_shards_and_with_old_names_reads_the_same(tmp_path, family):
    whole = source_of(tmp_path / "whole", family)
    AutoModel.from_pretrained(whole).save_pretrained(tmp_path / "bare", max_shard_size="20KB")
    assert (tmp_path / "bare" / "model.safetensors.index.json").exists()
    old = source_of(tmp_path / "old", family)
    path = old / "model.safetensors"
    tensors = load_file(path)
    for name in [name for name in tensors if "LayerNorm" in name]:
        new = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        tensors[new] = tensors.pop(name)
    save_file(tensors, path)
    sources = [open_source(tmp_path / name) for name in ("whole", "bare", "old")]
    for source in sources[1:]:
        assert source.body.keys() == sources[0].body.keys()
        assert all(torch.equal(source.body[name], sources[0].body[name]) for name in source.body)
    assert sources[1].head is None


@pytest.mark.parametrize(
    "family", [name for name, shape in SHAPES.items() if shape.head and shape.same_logits]
)
@torch.no_grad()
def test_a_copied_lm_head_gives_the_sources_logits(tmp_path, family):
    folder = source_of(tmp_path, family, hidden_act="gelu")
    source = open_source(folder)
    model, report = in_our_shell(source)
    assert not report["lm_head_transform_is_new"] and not report["notes"]
    theirs = getattr(transformers, SHAPES[family].head).from_pretrained(folder).eval()
    # LUKE's output matrix is stored, though tied where the checkpoint was trained.
    theirs.get_output_embeddings().weight = theirs.get_input_embeddings().weight
    ids, mask = full_batch(len(source.used_positions), source.config.pad_token_id)
    found = model(input_ids=ids, attention_mask=mask).logits
    expected = theirs(input_ids=ids, attention_mask=mask).logits
    # The output bias belongs to the vocabulary and is new, in the source it is a constant row.
    constant = (expected - found)[0, 0]
    assert ((expected - found - constant)[mask == 1]).abs().max() < 1e-4


@pytest.mark.parametrize(
    "family", [name for name, shape in SHAPES.items() if shape.head and not shape.same_logits]
)
def test_a_family_without_such_a_head_gives_none(tmp_path, family):
    source = open_source(source_of(tmp_path, family))
    assert source.head is None
    assert in_our_shell(source)[1]["lm_head_transform_is_new"]


@pytest.mark.parametrize("family", ["bert", "ernie", "distilbert"])
def test_a_head_of_another_activation_is_new_and_said_to_be(tmp_path, family):
    source = open_source(source_of(tmp_path, family, hidden_act="relu"))
    _, report = in_our_shell(source)
    assert report["lm_head_transform_is_new"]
    assert report["notes"] == [
        "the LM head computes gelu; in the source it was relu, so its transform is new"
    ]
    _, report = in_our_shell(source, lm_head_init="copy")
    assert not report["lm_head_transform_is_new"]
    assert report["notes"] == ["the LM head computes gelu; in the source it was relu"]


def test_electras_discriminator_is_read_and_its_own_head_is_not(tmp_path):
    folder = random_source(tmp_path, "electra", head="ElectraForPreTraining", embedding_size=32)
    assert any("discriminator" in name for name in load_file(folder / "model.safetensors"))
    assert largest_difference(folder, "electra") < TOLERANCE
    assert open_source(folder).head is None


def test_bart_is_read_whichever_of_its_tied_embeddings_is_stored(tmp_path):
    path = source_of(tmp_path, "bart") / "model.safetensors"
    tensors = load_file(path)
    words = open_source(tmp_path).word_embeddings
    for names in (
        ["model.encoder.embed_tokens.weight"],
        ["model.shared.weight", "model.encoder.embed_tokens.weight"],
    ):
        kept = {
            name: tensor
            for name, tensor in tensors.items()
            if "shared" not in name and "embed_tokens" not in name
        }
        save_file(kept | {name: words.clone() for name in names}, path)
        assert torch.equal(open_source(tmp_path).word_embeddings, words)
    save_file(kept | {names[0]: words, names[1]: words + 1}, path)
    with pytest.raises(XPTError, match=r"holds embeddings.word_embeddings.weight twice"):
        open_source(tmp_path)


UNFIT = [
    ("electra", {"embedding_size": 16}, "projects its word embeddings of width 16 to the 32 of its layers"),
    ("xlm", {"n_langs": 2}, "adds an embedding of each token's language (use_lang_emb)"),
    ("xlm", {"causal": True}, "attends to the left only (causal)"),
    ("flaubert", {"pre_norm": True}, "normalizes before its layers (pre_norm)"),
    ("bart", {"scale_embedding": True}, "rescales its word embeddings (scale_embedding)"),
]


@pytest.mark.parametrize(("family", "changes", "reason"), UNFIT)
def test_a_variant_that_computes_something_else_is_refused_with_the_reason(tmp_path, family, changes, reason):
    folder = source_of(tmp_path, family, **changes)
    with pytest.raises(XPTError) as error:
        open_source(folder)
    assert f"is of type '{family}'" in str(error.value) and reason in str(error.value)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_does_not_qualify_is_refused_with_the_reason(tmp_path, family):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    with pytest.raises(XPTError) as error:
        open_source(tmp_path)
    assert f"is of type '{family}', which {REFUSED[family]}; supported are" in str(error.value)
    assert "\n" not in str(error.value)


def test_counted_positions_start_behind_the_padding(tmp_path):
    for family in FAMILIES:
        source = open_source(source_of(tmp_path / family, family, pad=4))
        expected = 25 if family in COUNTED_FROM_PADDING else 30
        assert len(source.used_positions) == expected, family
