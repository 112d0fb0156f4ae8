"""The transplant of a ModernBERT (mmBERT, Ettin and A.X-Encoder are such, too): see `source.py`.

Names of tensors are the same on both sides, so what is copied needs no table. Layers, the norm of the
embeddings, the final norm and the LM-head transform are copied; word embeddings, ITLs and the output bias are
new, unless the source is post-trained already. A layer normalizes what it reads, not what it adds to, so an
ITL whose outputs start at zero changes no bit of the source's numbers.
"""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from transformers import ModernBertConfig, PreTrainedConfig

from configuration_xpt_modernbert import XPTModernBertConfig
from modeling_xpt_modernbert import GLOBAL
from xpt.program.seeding import seeded_generator
from xpt.transplant.architectures import ITL_COUNTS, MODERNBERT
from xpt.transplant.embeddings import SpecialTokens
from xpt.transplant.settings import TransplantSettings
from xpt.transplant.source_checkpoint import Source

SPECIAL_IDS = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id", "pad_token_id")
OUTPUTS = (".Wo.weight", "head.dense.weight")  # which ModernBERT draws smaller, the deeper it is
# What a source's class says of it beside what every configuration does; the vocabulary is the target's own.
OWN_FIELDS = {field.name for field in fields(ModernBertConfig)} - {
    *(field.name for field in fields(PreTrainedConfig)),
    *SPECIAL_IDS,
    *("vocab_size", "num_hidden_layers", "layer_types", "sparse_prediction"),
}


def modernbert_config(
    source: Source, special: SpecialTokens, layers: int, itls: tuple[int, int]
) -> XPTModernBertConfig:
    """The configuration of the model around the first `layers` of a ModernBERT, with ITLs at both ends."""
    described = source.config.to_dict()  # copies: a nested field must not belong to both models
    return XPTModernBertConfig(
        vocab_size=special.vocab_size,
        num_hidden_layers=layers,
        layer_types=described["layer_types"][:layers],
        bos_token_id=special.bos,
        cls_token_id=special.bos,
        pad_token_id=special.pad,
        eos_token_id=special.eos,
        sep_token_id=special.eos,
        **dict(zip(ITL_COUNTS, itls, strict=True)),
        **{name: described[name] for name in OWN_FIELDS},
    )


def modernbert_copies(
    source: Source, settings: TransplantSettings, config: XPTModernBertConfig, keeps_itls: bool
) -> dict[str, Tensor]:
    """Tensors that are taken from a ModernBERT whatever the vocabulary, by name."""
    if not settings.copies_layers:
        return {}
    copies = {
        name: tensor
        for name, tensor in source.body.items()
        if name != MODERNBERT.layout.words and (keeps_itls or ".itl_" not in name)
    }
    if source.head is not None and settings.lm_head_init != "random":
        copies |= {f"{MODERNBERT.layout.head}{name}": tensor for name, tensor in source.head.items()}
    if settings.itl_init == "copy":
        whole = [place for place, kind in enumerate(config.layer_types) if kind == GLOBAL]
        nearest = {"in": min(whole, default=0), "out": max(whole, default=config.num_hidden_layers - 1)}
        for side, place in nearest.items():
            for number in range(getattr(config, f"num_itl_{side}")):
                copies |= _layer(source.body, place, f"model.itl_{side}.{number}.")
    return copies


def _layer(own: dict[str, Tensor], place: int, to: str) -> dict[str, Tensor]:
    """A layer of the source under another name; that of the embeddings is the norm which the first lacks."""
    stem = f"{MODERNBERT.layout.layers}{place}."
    found = {name.replace(stem, to): tensor for name, tensor in own.items() if name.startswith(stem)}
    if place == 0:
        norm = "model.embeddings.norm."
        found |= {name.replace(norm, f"{to}attn_norm."): own[name] for name in own if name.startswith(norm)}
    return found


def draw_like_modernbert(tensor: Tensor, name: str, seed: int, config: Any) -> None:
    """Start a new tensor as ModernBERT does: matrices normal and cut off, biases 0, weights of norms 1."""
    if tensor.dim() == 1:
        tensor.fill_(0.0 if name.endswith("bias") else 1.0)
        return
    depth = 2.0 * config.num_layers_with_itls if name.endswith(OUTPUTS) else 1.0
    std = config.initializer_range / depth**0.5
    cutoff = std * (config.initializer_cutoff_factor or 3)
    generator = seeded_generator(seed, name)
    torch.nn.init.trunc_normal_(tensor, 0.0, std, -cutoff, cutoff, generator=generator)
