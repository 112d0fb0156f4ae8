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
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedConfig

from configuration_xpt_modernbert import XPTModernBertConfig
from modeling_xpt_modernbert import GLOBAL, XPTModernBertForMaskedLM
from xpt.program.errors import XPTError
from xpt.program.seeding import seeded_generator
from xpt.transplant.embeddings import SpecialTokens
from xpt.transplant.parameter_groups import GROUPS, parameter_group
from xpt.transplant.source import NUM_ITLS, OUTPUT_SCALES, TransplantSettings

WORDS, OUTPUT_BIAS = "model.embeddings.tok_embeddings.weight", "decoder.bias"
HEAD = "head."
SCALES = {**OUTPUT_SCALES, "identity": 0.0}  # zero outputs are an exact identity here
OUTPUTS = (".Wo.weight", "head.dense.weight")  # which ModernBERT draws smaller, the deeper it is
# What a source's class says of it beside what every configuration does; the vocabulary is the target's own.
OWN_FIELDS = {field.name for field in fields(ModernBertConfig)} - {
    *(field.name for field in fields(PreTrainedConfig)),
    *("vocab_size", "bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id", "pad_token_id"),
    *("num_hidden_layers", "layer_types", "sparse_prediction"),
}


def transplant_modernbert(
    source: ModernBertForMaskedLM,
    settings: TransplantSettings,
    special: SpecialTokens,
    word_embeddings: Tensor | None,
    output_bias: Tensor | None = None,
) -> tuple[XPTModernBertForMaskedLM, dict[str, Any]]:
    """Build the XPT model around a ModernBERT's layers.

    Args:
        source: a stock model, or an XPT model of one, whose ITLs `itl_init: auto` then keeps.
        settings: as for every source; `itl_init: zero_output` is an exact identity.
        special: the tokenizer's `bos`, `pad`, `eos` and `vocab_size`.
        word_embeddings: (vocab_size, hidden), of the scale of the source's; or None: the source's own are
            kept, and its output bias with them.
        output_bias: (vocab_size,), the one where it is new; 0 without.

    Returns:
        The model, float32, in training mode, and a report of what was copied and what is new.

    Raises:
        XPTError: settings that the source cannot serve.
    """
    layers = check_modernbert(source, settings, special, word_embeddings is None)
    config = _config(source.config, settings, special, layers)
    with torch.random.fork_rng(devices=[]):
        model = XPTModernBertForMaskedLM(config)
    copies = _copies(source, settings, config)
    if word_embeddings is None:
        own = source.state_dict()
        copies |= {name: own[name][: special.vocab_size] for name in (WORDS, OUTPUT_BIAS) if name in own}
    origin: dict[str, str] = {}
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            origin[name] = "copied" if name in copies else "new"
            if name in copies:
                tensor.copy_(copies[name])
            elif name == WORDS and word_embeddings is not None:
                tensor.copy_(word_embeddings)
            elif name == OUTPUT_BIAS:
                tensor.copy_(output_bias if output_bias is not None else torch.zeros_like(tensor))
            else:
                draw_new(tensor, name, settings.seed, config)
                if ".itl_" in name and name.endswith(OUTPUTS):
                    tensor.mul_(SCALES.get(settings.itl_init, 1.0))
    return model, _report(settings, model, origin)


def check_modernbert(
    source: ModernBertForMaskedLM, settings: TransplantSettings, special: SpecialTokens, keeps_words: bool
) -> int:
    """How many layers are kept. Raises `XPTError` for settings the source cannot serve."""
    config: Any = source.config
    have = config.num_hidden_layers
    layers = have if settings.source_num_layers is None else settings.source_num_layers
    if not 1 <= layers <= have:
        raise XPTError(f"--source_num_layers is {layers}; the source has 1 to {have}")
    if settings.architecture != "xpt":
        raise XPTError(
            f"--architecture {settings.architecture} stands on RoBERTa's positions, and a ModernBERT has "
            "none; give --architecture xpt"
        )
    if not config.tie_word_embeddings:
        raise XPTError(
            "the source's output matrix is not its word embeddings (tie_word_embeddings is false), and an "
            "XPT model has one table for both; give a source that is tied"
        )
    for name in ("lm_head_init", "itl_init"):
        if getattr(settings, name) == "copy" and not settings.copies_layers:
            raise XPTError(f"--{name} copy contradicts --layers_init random, which copies nothing")
    for side in NUM_ITLS:
        given, own = getattr(settings, side), getattr(config, side, None)
        if given is not None and given < 0:
            raise XPTError(f"--{side} is {given}; give 0 or more")
        if _keeps_itls(config, settings) and given not in (None, own):
            raise XPTError(
                f"--{side} is {given}, but the ITLs of the source are kept and are {own}; "
                "leave it out, or give --itl_init random for new ones"
            )
    if keeps_words and config.vocab_size < special.vocab_size:
        raise XPTError(
            f"the source has {config.vocab_size} word embeddings for the {special.vocab_size} ids of its "
            "tokenizer; give its own, or --keep_vocabulary false"
        )
    return layers


def _keeps_itls(config: Any, settings: TransplantSettings) -> bool:
    is_xpt = config.model_type == XPTModernBertConfig.model_type
    return is_xpt and settings.copies_layers and settings.itl_init == "auto"


def _config(
    source: Any, settings: TransplantSettings, special: SpecialTokens, layers: int
) -> XPTModernBertConfig:
    given = {side: getattr(settings, side) for side in NUM_ITLS}
    described = source.to_dict()  # copies: a nested field must not belong to both models
    return XPTModernBertConfig(
        vocab_size=special.vocab_size,
        num_hidden_layers=layers,
        layer_types=described["layer_types"][:layers],
        bos_token_id=special.bos,
        cls_token_id=special.bos,
        pad_token_id=special.pad,
        eos_token_id=special.eos,
        sep_token_id=special.eos,
        **{side: getattr(source, side, 1) if given[side] is None else given[side] for side in NUM_ITLS},
        **{name: described[name] for name in OWN_FIELDS},
    )


def _copies(source: Any, settings: TransplantSettings, config: XPTModernBertConfig) -> dict[str, Tensor]:
    """Tensors that are taken from the source whatever the vocabulary, by name."""
    if not settings.copies_layers:
        return {}
    copies = dict(source.state_dict())
    for name in list(copies):
        of_vocabulary = name == WORDS or name.startswith("decoder.")
        replaced_itl = ".itl_" in name and not _keeps_itls(source.config, settings)
        new_head = name.startswith(HEAD) and settings.lm_head_init == "random"
        if of_vocabulary or replaced_itl or new_head:
            del copies[name]
    if settings.itl_init == "copy":
        whole = [place for place, kind in enumerate(config.layer_types) if kind == GLOBAL]
        nearest = {"in": min(whole, default=0), "out": max(whole, default=config.num_hidden_layers - 1)}
        for side, place in nearest.items():
            for number in range(getattr(config, f"num_itl_{side}")):
                copies |= _layer(source, place, f"model.itl_{side}.{number}.")
    return copies


def _layer(source: Any, place: int, to: str) -> dict[str, Tensor]:
    """A layer of the source under another name; that of the embeddings is the norm which the first lacks."""
    stem, own = f"model.layers.{place}.", source.state_dict()
    found = {name.replace(stem, to): tensor for name, tensor in own.items() if name.startswith(stem)}
    if place == 0:
        norm = "model.embeddings.norm."
        found |= {name.replace(norm, f"{to}attn_norm."): own[name] for name in own if name.startswith(norm)}
    return found


def draw_new(tensor: Tensor, name: str, seed: int, config: Any) -> None:
    """Start a new tensor as ModernBERT does: matrices normal and cut off, biases 0, weights of norms 1."""
    if tensor.dim() == 1:
        tensor.fill_(0.0 if name.endswith("bias") else 1.0)
        return
    depth = 2.0 * config.num_layers_with_itls if name.endswith(OUTPUTS) else 1.0
    std = config.initializer_range / depth**0.5
    cutoff = std * (config.initializer_cutoff_factor or 3)
    generator = seeded_generator(seed, name)
    torch.nn.init.trunc_normal_(tensor, 0.0, std, -cutoff, cutoff, generator=generator)


def _report(
    settings: TransplantSettings, model: XPTModernBertForMaskedLM, origin: dict[str, str]
) -> dict[str, Any]:
    groups = {group: {"copied": 0, "new": 0} for group in GROUPS}
    for name, tensor in model.named_parameters():
        groups[parameter_group(name).split(".")[0]][origin[name]] += tensor.numel()
    nothing = ["nothing is copied: a control of the source's shape (--layers_init random)"]
    return {
        "architecture": settings.architecture,
        "layers": model.config.num_hidden_layers,
        "layers_copied": settings.copies_layers,
        "num_itl_in": model.config.num_itl_in,
        "num_itl_out": model.config.num_itl_out,
        "groups": groups,
        "lm_head_transform_is_new": origin["head.dense.weight"] == "new",
        "notes": [] if settings.copies_layers else nothing,
    }
