"""The transplant: a source checkpoint becomes an XPT model; what is copied, what is new, and how it starts.

Layers, position rows and, where it computes the same, the LM-head transform are copied byte for byte. Word
embeddings, ITLs and the output bias are new, unless the source is post-trained already: its own are kept.
Every new tensor is drawn from a generator of its own, seeded by (seed, name), so that it depends on nothing
else that happens in the process. A decoder becomes a stock model of its own class (`decoder`), a ModernBERT
one with layers before the norm of its embeddings (`modernbert`).
"""

from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from configuration_xpt import XPTRobertaConfig
from xpt.program.errors import XPTError
from xpt.program.seeding import seeded_generator
from xpt.transplant.architectures import (
    ARCHITECTURES,
    CLM,
    ITL_COUNTS,
    MODERNBERT,
    Layout,
    architecture_around,
    architecture_of,
)
from xpt.transplant.decoder import layer_copies, layer_slots, new_decoder, outer_copies
from xpt.transplant.embeddings import SpecialTokens
from xpt.transplant.families import SHARED_FIELDS
from xpt.transplant.modernbert import draw_like_modernbert, modernbert_config, modernbert_copies
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.report import HEAD_ACTIVATION, LANGUAGE_FIELDS, format_report, transplant_report
from xpt.transplant.settings import OUTPUT_SCALES, TransplantSettings
from xpt.transplant.source_checkpoint import ITLS, POSITIONS, TRI, WORDS, Source, open_source

__all__ = [
    "Source",
    "TransplantSettings",
    "check_transplant",
    "format_report",
    "open_source",
    "transplant",
]


def transplant(
    source: Source,
    settings: TransplantSettings,
    special: SpecialTokens,
    word_embeddings: Tensor | None,
    output_bias: Tensor | None = None,
    output_embeddings: Tensor | None = None,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Build the model around the source's layers.

    `special` has the tokenizer's `bos`, `pad`, `eos` and `vocab_size`; `word_embeddings` is (vocab_size,
    hidden), or None: the source's own are kept, and its output bias with them. `output_bias`,
    (vocab_size,), is the one where it is new, which is 0 without. `output_embeddings`, as the others, is a
    decoder's where it is not tied to them. Gives back the model and a report of what was copied and what is
    new. Raises `XPTError` for settings the source cannot serve.
    """
    layers = check_transplant(source, settings)
    if source.objective == CLM:
        return _decoder(source, settings, special, layers, word_embeddings, output_embeddings)
    kind = architecture_around(source.family, settings.architecture)
    config: Any
    if kind is MODERNBERT:
        config = modernbert_config(source, special, layers, _itl_counts(source, settings))
        copies = modernbert_copies(source, settings, config, _keeps_itls(source, settings))
    else:
        config = _config(source, settings, special, layers)
        copies = _copies(source, settings, config)
    with torch.random.fork_rng(devices=[]):
        model = kind.model(config)
    if word_embeddings is None:
        copies |= _vocabulary(source, special, kind.layout)
    origin: dict[str, str] = {}
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            origin[name] = "copied" if name in copies else "new"
            if name.endswith(POSITIONS):
                tensor[: special.pad + 1] = 0.0  # no token ever reads the rows up to the padding's
                tensor = tensor[special.pad + 1 :]
            if name in copies:
                tensor.copy_(copies[name])
            elif name == kind.layout.words and word_embeddings is not None:
                tensor.copy_(word_embeddings)
            elif name == kind.layout.output_bias:
                tensor.copy_(output_bias if output_bias is not None else torch.zeros_like(tensor))
            else:
                _start_new(tensor, name, settings, config, kind.layout)
    return model, transplant_report(source, settings, model, origin, _keeps_itls(source, settings))


def _decoder(
    source: Source,
    settings: TransplantSettings,
    special: SpecialTokens,
    layers: int,
    word_embeddings: Tensor | None,
    output_embeddings: Tensor | None,
) -> tuple[PreTrainedModel, dict[str, Any]]:
    itls = "keep" if _keeps_itls(source, settings) else settings.itl_init
    slots = layer_slots(source.config, layers, _itl_counts(source, settings), itls)
    model = new_decoder(source, special, slots)
    layout = architecture_of(source.family).layout
    copies = {**layer_copies(source, slots), **outer_copies(source)} if settings.copies_layers else {}
    given = {layout.words: word_embeddings, source.output_name: output_embeddings}
    if word_embeddings is None:
        rows = {layout.words: source.word_embeddings, source.output_name: source.output_embeddings}
        copies |= {
            name: _rows(source, tensor, special)
            for name, tensor in rows.items()
            if name is not None and tensor is not None
        }
    origin: dict[str, str] = {}
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            origin[name] = "copied" if name in copies else "new"
            start = copies.get(name, given.get(name))
            if start is not None:
                tensor.copy_(start)
            else:
                _start_new(tensor, name, settings, model.config, layout)
    return model, transplant_report(source, settings, model, origin, _keeps_itls(source, settings))


def _start_new(tensor: Tensor, name: str, settings: TransplantSettings, config: Any, layout: Layout) -> None:
    """Draw a new tensor; those by which an ITL adds to its input are scaled as its start says."""
    if layout is MODERNBERT.layout:
        draw_like_modernbert(tensor, name, settings.seed, config)
    else:
        draw_new(tensor, name, settings.seed, config.initializer_range, layout.norm_start)
    of_itl = parameter_group(name, config).startswith("itl.")
    if of_itl and any(name.endswith(f".{output}weight") for output in layout.outputs):
        tensor.mul_(OUTPUT_SCALES.get(settings.itl_init, 1.0))


def check_transplant(source: Source, settings: TransplantSettings) -> int:
    """How many layers are kept. Raises `XPTError` for settings the source cannot serve."""
    have = source.config.num_hidden_layers
    causal = source.objective == CLM
    kind = architecture_around(source.family, settings.architecture)
    if causal and settings.architecture != "xpt":
        raise XPTError(
            f"--architecture {settings.architecture} is for encoders, and source {source.name} is a decoder; "
            "leave it out"
        )
    if kind is MODERNBERT and settings.architecture != "xpt":
        raise XPTError(
            f"--architecture {settings.architecture} stands on RoBERTa's positions, and source {source.name} "
            "is a ModernBERT, which has none; leave it out"
        )
    if settings.itl_init == "identity" and not kind.layout.is_pre_norm:
        raise XPTError(
            "--itl_init identity, but RoBERTa's layers normalize behind each sum, so that none is an "
            "identity; give zero_output, which leaves the norms alone"
        )
    layers = have if settings.source_num_layers is None else settings.source_num_layers
    if not 1 <= layers <= have:
        raise XPTError(f"--source_num_layers is {layers}; source {source.name} has 1 to {have}")
    if settings.lm_head_init == "copy" and source.head is None:
        raise XPTError(f"--lm_head_init copy, but source {source.name} has no LM head; give auto or random")
    if settings.architecture == "trelm" and layers % 2:
        raise XPTError(
            f"--architecture trelm has a layer between two halves, and {layers} layers have none; "
            "give an even --source_num_layers"
        )
    if source.is_xpt and not causal and source.family != kind.model_type:
        own = architecture_of(source.family)
        raise XPTError(
            f"--architecture {settings.architecture}, but source {source.name} is of the family "
            f"{source.family} and goes on as such: give --architecture {own.name}, or an English encoder"
        )
    for part in ("lm_head_init", "itl_init"):
        if getattr(settings, part) == "copy" and not settings.copies_layers:
            raise XPTError(f"--{part} copy contradicts --layers_init random, which copies nothing")
    for side in ITL_COUNTS:
        given, kept = getattr(settings, side), getattr(source.config, side, 0)
        if given is not None and given < 0:
            raise XPTError(f"--{side} is {given}; give 0 or more")
        if _keeps_itls(source, settings) and given not in (None, kept):
            raise XPTError(
                f"--{side} is {given}, but the ITLs of source {source.name} are kept and are {kept}; "
                "leave it out, or give --itl_init random for new ones"
            )
    return layers


def _keeps_itls(source: Source, settings: TransplantSettings) -> bool:
    return source.is_xpt and settings.copies_layers and settings.itl_init == "auto"


def _config(
    source: Source, settings: TransplantSettings, special: SpecialTokens, layers: int
) -> XPTRobertaConfig:
    kind = ARCHITECTURES[settings.architecture]
    return kind.config(
        vocab_size=special.vocab_size,
        num_hidden_layers=layers,
        max_position_embeddings=special.pad + 1 + len(source.used_positions),
        bos_token_id=special.bos,
        pad_token_id=special.pad,
        eos_token_id=special.eos,
        **dict(zip(ITL_COUNTS, _itl_counts(source, settings), strict=True)),
        **{name: getattr(source.config, name) for name in SHARED_FIELDS},
        **{name: getattr(source.config, name) for name in LANGUAGE_FIELDS if hasattr(source.config, name)},
    )


def _itl_counts(source: Source, settings: TransplantSettings) -> tuple[int, int]:
    """ITLs at both ends: as many as are asked for, else as an XPT source has, else as is usual."""

    def count(side: str) -> int:
        usual = ARCHITECTURES[settings.architecture].default_itls
        own = getattr(source.config, side) if source.is_xpt else usual
        chosen = getattr(settings, side)
        return int(own if chosen is None else chosen)

    return count(ITL_COUNTS[0]), count(ITL_COUNTS[1])


def _copies(source: Source, settings: TransplantSettings, config: XPTRobertaConfig) -> dict[str, Tensor]:
    """Tensors that are taken from the source whatever the vocabulary, by their name in the new model."""
    if not settings.copies_layers:
        return {}
    copies = {f"roberta.{name}": tensor for name, tensor in source.body.items()}
    del copies[f"roberta.{WORDS}"]
    copies[f"roberta.{POSITIONS}"] = source.used_positions
    if not _keeps_itls(source, settings):
        copies = {
            name: copies[name] for name in copies if not name.startswith(tuple(f"roberta.{i}" for i in ITLS))
        }
    if source.head is not None and _copies_head(source, settings):
        copies |= {f"lm_head.{name}": tensor for name, tensor in source.head.items()}
    if settings.architecture == "trelm" and not source.is_xpt:
        stem = f"encoder.layer.{config.num_hidden_layers // 2}."
        copies |= _layer(source, stem, TRI)
    if settings.itl_init == "copy":
        last = config.num_hidden_layers - 1
        for side, count, nearest in (("in", config.num_itl_in, 0), ("out", config.num_itl_out, last)):
            stem = f"encoder.layer.{nearest}."
            for number in range(count):
                copies |= _layer(source, stem, f"itl_{side}.{number}.")
    return copies


def _layer(source: Source, stem: str, to: str) -> dict[str, Tensor]:
    """A layer of the source under another name."""
    return {
        f"roberta.{to}{name.removeprefix(stem)}": tensor
        for name, tensor in source.body.items()
        if name.startswith(stem)
    }


def _copies_head(source: Source, settings: TransplantSettings) -> bool:
    same = source.lm_head_activation == HEAD_ACTIVATION
    return settings.lm_head_init == "copy" or (settings.lm_head_init == "auto" and same)


def _vocabulary(source: Source, special: SpecialTokens, layout: Layout) -> dict[str, Tensor]:
    """The source's word embeddings and output bias."""
    kept = {layout.words: _rows(source, source.word_embeddings, special)}
    if source.output_bias is not None:
        kept[layout.output_bias] = source.output_bias[: special.vocab_size]
    return kept


def _rows(source: Source, table: Tensor, special: SpecialTokens) -> Tensor:
    """The rows of the tokenizer's ids; those behind its last one belong to nothing."""
    have = len(table)
    if have < special.vocab_size:
        raise XPTError(
            f"source {source.name} has {have} word embeddings for the {special.vocab_size} ids of its "
            "tokenizer; give its own, or --keep_vocabulary false"
        )
    return table[: special.vocab_size]


def draw_new(tensor: torch.Tensor, name: str, seed: int, std: float, norm_start: float = 1.0) -> None:
    """Start a new tensor as RoBERTa does: matrices N(0, std), biases 0, norms' weights `norm_start`."""
    if tensor.dim() > 1:
        tensor.normal_(0.0, std, generator=seeded_generator(seed, name))
    else:
        tensor.fill_(0.0 if name.endswith("bias") else norm_start)
