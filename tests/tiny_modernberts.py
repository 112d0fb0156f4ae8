"""Tiny ModernBERTs, stock and XPT, whose windows are far shorter than their texts."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassFieldValidationError
from tiny_models import PACKED, PAD, VOCAB, ids
from transformers import ModernBertConfig, ModernBertForMaskedLM

import modeling_xpt_modernbert
from configuration_xpt_modernbert import AUTO_MAP
from modeling_xpt_modernbert import XPTModernBertForMaskedLM

HEADS = sorted(path.split(".")[1] for name, path in AUTO_MAP.items() if name != "AutoConfig")
CLASSES = {name: getattr(modeling_xpt_modernbert, name) for name in HEADS}
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
    "local_attention": 6,  # three tokens to each side
    "initializer_range": 0.1,  # far from uniform attention, so that a wrong mask shows
    **{"bos_token_id": 0, "cls_token_id": 0, "pad_token_id": PAD, "eos_token_id": 2, "sep_token_id": 2},
}


def shaken(model, seed=9):
    """Every tensor away from its start, so that one that is lost or swapped shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def make_stock(cls=ModernBertForMaskedLM, implementation="eager", **fields):
    torch.manual_seed(0)
    try:
        config = ModernBertConfig(**{**SHAPE, **fields}, attn_implementation=implementation)
        return shaken(cls(config))
    except StrictDataclassFieldValidationError as error:
        if "rope_parameters" not in str(error):
            raise
        pytest.skip("this transformers makes no ModernBERT whose layers are all of one type")


def make_xpt(cls=XPTModernBertForMaskedLM, implementation="eager", **fields):
    torch.manual_seed(0)
    return shaken(cls(cls.config_class(**{**SHAPE, **fields}, attn_implementation=implementation)))


def around(source, num_itl_in=0, num_itl_out=0, identity=True):
    """An XPT model with a stock model's weights; its ITLs, where they are no identities, are random."""
    ours = CLASSES["XPT" + type(source).__name__].config_class(
        **source.config.to_dict(),
        num_itl_in=num_itl_in,
        num_itl_out=num_itl_out,
        attn_implementation=source.config._attn_implementation,
    )
    model = shaken(CLASSES["XPT" + type(source).__name__](ours))
    names = model.load_state_dict(source.state_dict(), strict=False)
    assert all(".itl_" in name for name in names.missing_keys) and not names.unexpected_keys
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if identity and ".itl_" in name and ".Wo." in name:
                parameter.zero_()
    return model


def layers_of(backbone):
    """In the order in which tokens pass them."""
    return [*backbone.itl_in, *backbone.layers, *backbone.itl_out]


def text(length=40, rows=3):
    """Padded, and many windows long."""
    input_ids = ids(rows, length)
    input_ids[1, -9:] = PAD
    return {"input_ids": input_ids, "attention_mask": input_ids.ne(PAD).long()}


def packed_labels():
    """Three tokens of `PACKED`, of three documents."""
    labels = torch.full_like(PACKED["input_ids"], -100)
    for row, column in ((0, 1), (0, 7), (1, 4)):
        labels[row, column] = 9
    return labels
