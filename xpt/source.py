"""The transplant: an English checkpoint becomes an XPT model; what is copied, what is new, and how it starts.

Layers, position rows and, where there is one, the LM-head transform are copied byte for byte. Word
embeddings, ITLs and the output bias are new. Every new tensor is drawn from a generator of its own, seeded by
(seed, name), so that it depends on nothing else that happens in the process.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.embeddings import seeded_generator
from xpt.errors import XPTError
from xpt.families import SHARED_FIELDS
from xpt.phases import GROUPS, parameter_group
from xpt.source_checkpoint import Source, open_source

__all__ = ["Source", "TransplantSettings", "check_transplant", "format_report", "open_source", "transplant"]


@dataclass(frozen=True)
class TransplantSettings:
    """What the transplant decides; see the options of the same names."""

    source_num_layers: int | None = None
    num_itl_in: int = 1
    num_itl_out: int = 1
    itl_init: Literal["random", "near_identity", "copy"] = "random"
    lm_head_init: Literal["auto", "copy", "random"] = "auto"
    seed: int = 0


NEAR_IDENTITY_SCALE = 0.1  # of both output projections: the layer then changes its input little
OUTPUT_PROJECTION = "output.dense.weight"  # of attention and feed-forward alike


def transplant(
    source: Source,
    settings: TransplantSettings,
    special: Any,
    word_embeddings: torch.Tensor,
    unigram_log_probs: torch.Tensor | None = None,
) -> tuple[XPTRobertaForMaskedLM, dict[str, Any]]:
    """Build the XPT model around the source's layers.

    `special` has the new tokenizer's `bos`, `pad`, `eos`; `word_embeddings` is (vocab_size, hidden);
    `unigram_log_probs`, (vocab_size,), starts the output bias, which is 0 without. Gives back the model and a
    report of what was copied and what is new. Raises `XPTError` for settings the source cannot serve.
    """
    layers = check_transplant(source, settings)
    with torch.random.fork_rng(devices=[]):
        model = XPTRobertaForMaskedLM(_config(source, settings, special, len(word_embeddings), layers))
    copies = _copies(source, settings, layers)
    origin: dict[str, str] = {}
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name == "roberta.embeddings.word_embeddings.weight":
                tensor.copy_(word_embeddings)
                origin[name] = "new"
            elif name == "lm_head.bias":
                tensor.copy_(unigram_log_probs if unigram_log_probs is not None else torch.zeros_like(tensor))
                origin[name] = "new"
            elif name == "roberta.embeddings.position_embeddings.weight":
                tensor.zero_()  # the rows up to the padding's are never read by a token
                tensor[special.pad + 1 :] = source.used_positions
                origin[name] = "copied"
            elif name in copies:
                tensor.copy_(copies[name])
                origin[name] = "copied"
            else:
                draw_new(tensor, name, settings.seed, source.config.initializer_range)
                if settings.itl_init == "near_identity" and name.endswith(OUTPUT_PROJECTION):
                    tensor.mul_(NEAR_IDENTITY_SCALE)
                origin[name] = "new"
    return model, _report(source, model, origin, layers)


def check_transplant(source: Source, settings: TransplantSettings) -> int:
    """How many layers are kept. Raises `XPTError` for settings the source cannot serve."""
    have = source.config.num_hidden_layers
    layers = have if settings.source_num_layers is None else settings.source_num_layers
    if not 1 <= layers <= have:
        raise XPTError(f"--source_num_layers is {layers}; source {source.name} has 1 to {have}")
    if settings.lm_head_init == "copy" and source.head is None:
        raise XPTError(f"--lm_head_init copy, but source {source.name} has no LM head; give auto or random")
    return layers


def _config(source: Source, settings: TransplantSettings, special: Any, vocab_size: int, layers: int) -> Any:
    return XPTRobertaConfig(
        vocab_size=vocab_size,
        num_hidden_layers=layers,
        num_itl_in=settings.num_itl_in,
        num_itl_out=settings.num_itl_out,
        max_position_embeddings=special.pad + 1 + len(source.used_positions),
        bos_token_id=special.bos,
        pad_token_id=special.pad,
        eos_token_id=special.eos,
        **{name: getattr(source.config, name) for name in SHARED_FIELDS},
    )


def _copies(source: Source, settings: TransplantSettings, layers: int) -> dict[str, torch.Tensor]:
    """Tensors that are taken from the source, by their name in the new model."""
    copies = {f"roberta.{name}": tensor for name, tensor in source.body.items()}
    for position in ("word_embeddings", "position_embeddings"):
        del copies[f"roberta.embeddings.{position}.weight"]
    if settings.lm_head_init != "random" and source.head is not None:
        copies |= {f"lm_head.{name}": tensor for name, tensor in source.head.items()}
    if settings.itl_init == "copy":
        for side, count, nearest in (
            ("in", settings.num_itl_in, 0),
            ("out", settings.num_itl_out, layers - 1),
        ):
            stem = f"encoder.layer.{nearest}."
            for number in range(count):
                copies |= {
                    f"roberta.itl_{side}.{number}.{name.removeprefix(stem)}": tensor
                    for name, tensor in source.body.items()
                    if name.startswith(stem)
                }
    return copies


def draw_new(tensor: torch.Tensor, name: str, seed: int, std: float) -> None:
    """Start a new tensor as RoBERTa does: matrices N(0, std), biases 0, LayerNorm weights 1."""
    if tensor.dim() > 1:
        tensor.normal_(0.0, std, generator=seeded_generator(seed, name))
    else:
        tensor.fill_(0.0 if name.endswith("bias") else 1.0)


def _report(source: Source, model: nn.Module, origin: dict[str, str], layers: int) -> dict[str, Any]:
    groups = {group: {"copied": 0, "new": 0} for group in GROUPS}
    for name, tensor in model.named_parameters():
        groups[parameter_group(name).split(".")[0]][origin[name]] += tensor.numel()
    notes = []
    if origin["lm_head.dense.weight"] == "copied" and source.lm_head_activation != "gelu":
        notes.append(f"the LM head computes gelu; in the source it was {source.lm_head_activation}")
    return {
        "layers": layers,
        "groups": groups,
        "lm_head_transform_is_new": origin["lm_head.dense.weight"] == "new",
        "notes": notes,
    }


def format_report(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"{'parameters':22}{'copied':>14}{'new':>14}"]
    for group, counts in report["groups"].items():
        lines.append(f"{group:22}{counts['copied']:>14,}{counts['new']:>14,}")
    totals = [sum(counts[kind] for counts in report["groups"].values()) for kind in ("copied", "new")]
    lines.append(f"{'all':22}{totals[0]:>14,}{totals[1]:>14,}")
    return "\n".join([*lines, *(f"note: {note}" for note in report["notes"])])
