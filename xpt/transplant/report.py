"""What a transplant has copied and what is new, as a record and as a table."""

from typing import Any

from xpt.transplant.architectures import CLM, MODERNBERT, Layout, architecture_around
from xpt.transplant.parameter_groups import DECODER_GROUPS, GROUPS, parameter_group
from xpt.transplant.settings import TransplantSettings
from xpt.transplant.source_checkpoint import LANGUAGES, TRI, Source

OUTPUT_PROJECTION = "output.dense.weight"  # of attention and feed-forward alike
LANGUAGE_FIELDS = ("num_languages", "default_language")  # of a TreLM
HEAD_ACTIVATION = "gelu"  # of our LM head, whatever the layers do; a ModernBERT's is the source's


def transplant_report(
    source: Source, settings: TransplantSettings, model: Any, origin: dict[str, str], keeps_itls: bool
) -> dict[str, Any]:
    """What was copied and what is new, by group of parameters.

    Args:
        source: what was copied from.
        settings: of the transplant.
        model: that was made.
        origin: of each of its parameters, `copied` or `new`, by name.
        keeps_itls: whether the source's ITLs were copied.
    """
    causal = source.objective == CLM
    kind = architecture_around(source.family, settings.architecture)
    groups = {group: {"copied": 0, "new": 0} for group in (DECODER_GROUPS if causal else GROUPS)}
    for name, tensor in model.named_parameters():
        groups[parameter_group(name, model.config).split(".")[0]][origin[name]] += tensor.numel()
    itls = model.config.num_itl_in + model.config.num_itl_out
    return {
        "architecture": settings.architecture,
        **({"objective": CLM} if causal else {}),
        "layers": model.config.num_hidden_layers - (itls if causal else 0),
        "layers_copied": settings.copies_layers,
        "num_itl_in": model.config.num_itl_in,
        "num_itl_out": model.config.num_itl_out,
        "groups": groups,
        "lm_head_transform_is_new": origin.get(f"{kind.layout.head}dense.weight") == "new",
        "notes": _notes(source, settings, origin, keeps_itls, kind.layout),
        **{name: getattr(model.config, name) for name in LANGUAGE_FIELDS if hasattr(model.config, name)},
    }


def _notes(
    source: Source, settings: TransplantSettings, origin: dict[str, str], keeps_itls: bool, layout: Layout
) -> list[str]:
    """What the table of copied and new parameters cannot say."""
    if not settings.copies_layers:
        return ["nothing is copied: a control of the source's shape (--layers_init random)"]
    notes = []
    if source.is_xpt:
        parts = {"word embeddings": origin[layout.words]}
        if layout.output_bias in origin:
            parts["output bias"] = origin[layout.output_bias]
        if f"roberta.{LANGUAGES}" in origin:
            parts |= {
                "TRILayer": origin[f"roberta.{TRI}{OUTPUT_PROJECTION}"],
                "language embeddings": origin[f"roberta.{LANGUAGES}"],
            }
        else:
            parts["ITLs"] = "copied" if keeps_itls else "new"
        said = ", ".join(f"{part} {kind}" for part, kind in parts.items())
        notes.append(f"the source is post-trained already: {said}")
    other_head = source.lm_head_activation != HEAD_ACTIVATION and layout is not MODERNBERT.layout
    if source.head is not None and other_head:
        differ = f"the LM head computes {HEAD_ACTIVATION}; in the source it was {source.lm_head_activation}"
        copied = origin["lm_head.dense.weight"] == "copied"
        notes.append(differ if copied else f"{differ}, so its transform is new")
    return notes


def format_report(report: dict[str, Any]) -> str:
    """The report as a table."""
    lines = [f"{'parameters':22}{'copied':>14}{'new':>14}"]
    for group, counts in report["groups"].items():
        lines.append(f"{group:22}{counts['copied']:>14,}{counts['new']:>14,}")
    totals = [sum(counts[kind] for counts in report["groups"].values()) for kind in ("copied", "new")]
    lines.append(f"{'all':22}{totals[0]:>14,}{totals[1]:>14,}")
    started = report.get("embeddings")  # a run that began with an earlier release has no word of it
    if started and started["method"] != "random":
        rows = ", ".join(f"{count:,} {kind}" for kind, count in started["rows"].items() if count)
        lines.append(f"word embeddings by {started['method']}: {rows}")
        lines += [f"note: {note}" for note in started["notes"]]
    return "\n".join([*lines, *(f"note: {note}" for note in report["notes"])])
