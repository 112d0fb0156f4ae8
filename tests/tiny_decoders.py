"""Small random decoders of every type in the table, and what tests of them lean on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import set_seed

from xpt.transplant.architectures import DECODERS

VOCABULARY, LAYERS = 90, 3
COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "initializer_range": 0.2,  # far from uniform attention, so that a wrong mask shows
}
GROUPED = {"num_key_value_heads": 2}
WINDOWED = {**GROUPED, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4}
ROTATION = {"rope_type": "default", "rope_theta": 500.0}
# What each type has beside the common shape: adding a type to the table is adding it here.
OWN = {
    "llama": {**GROUPED, "rope_parameters": ROTATION},
    "mistral": {**GROUPED, "sliding_window": 6},
    "qwen2": GROUPED,
    "qwen3": {**GROUPED, "head_dim": 8},
    "gemma2": WINDOWED,
    "gemma3_text": {**WINDOWED, "sliding_window_pattern": 2},
    "gpt_neox": {"rope_parameters": {**ROTATION, "partial_rotary_factor": 0.5}},
}  # fmt: skip
KINDS = sorted(OWN)


@dataclass(frozen=True)
class Special:
    """Ids of a tokenizer's special tokens."""

    bos: int = 0
    pad: int = 1
    eos: int = 2
    vocab_size: int = VOCABULARY


def random_decoder(kind: str, tied: bool = True, **changes):
    """A model of the type with all its tensors away from their defaults."""
    set_seed(3)
    row = DECODERS[kind]
    model = row.model(row.config(**{**COMMON, **OWN[kind], "tie_word_embeddings": tied, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def decoder_source(folder, kind: str, tied: bool = True, **changes) -> Path:
    """A checkpoint of such a model."""
    random_decoder(kind, tied, **changes).save_pretrained(folder)
    return Path(folder)


def some_ids(*shape, seed=0):
    return torch.randint(3, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def logits(model, ids, **inputs):
    with torch.no_grad():
        return model.eval()(input_ids=ids, **inputs).logits
