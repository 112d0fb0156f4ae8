"""The pictures of a run: training loss over all phases on one axis, with what it should be compared to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.program.figure import new_figure
from xpt.transplant.architectures import CLM

COLORS = ("#1f5fa8", "#c2571a", "#2e7d4f", "#7a3e9d")


@dataclass(frozen=True)
class Curve:
    """One run: its name, logged steps and results."""

    name: str
    log: Sequence[dict[str, Any]]
    results: dict[str, Any]


def plot_loss(curves: Sequence[Curve], path: Path, title: str) -> None:
    """Draw one or several runs into `path` (PNG). Phases follow each other on the axis of steps."""
    figure = new_figure(9, 5)
    axis = figure.subplots()
    causal = curves[0].results["transplant"].get("objective") == CLM
    for color, curve in zip(COLORS, curves, strict=False):
        starts = _phase_starts(curve.results["phases"])
        steps = [starts[entry["phase"]] + entry["step"] for entry in curve.log if "loss" in entry]
        losses = [entry["loss"] for entry in curve.log if "loss" in entry]
        axis.plot(
            steps,
            losses,
            color=color,
            linewidth=1.2,
            alpha=0.75,
            label=f"{curve.name}: training{_masked(curve)}",
        )
        evaluated = [(0, curve.results["before"]["eval_loss"])]
        evaluated += [(starts[p["name"]] + p["steps"], p["eval_loss"]) for p in curve.results["phases"]]
        evaluated = [(step, loss) for step, loss in evaluated if loss is not None]
        axis.plot(
            *zip(*evaluated, strict=True),
            "o",
            color=color,
            markersize=7,
            label=f"{curve.name}: validation{'' if causal else ', 15 % masked'}",
        )
    _draw_references(axis, curves[0].results)
    loss = "loss (nats per token)" if causal else "masked-language-model loss (nats per masked token)"
    axis.set(xlabel="optimizer step", ylabel=loss, title=title)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=120)


def _masked(curve: Curve) -> str:
    shares: set[float] = set()
    for phase in curve.results["phases"]:
        share = phase.get("mlm_probability")
        if share is None:  # of a decoder
            return ""
        shares |= set(share) if isinstance(share, list) else {share}
    ends = sorted({min(shares), max(shares)})
    return f", {' to '.join(f'{100 * share:.0f}' for share in ends)} % masked"


def _phase_starts(phases: Sequence[dict[str, Any]]) -> dict[str, int]:
    starts, total = {}, 0
    for phase in phases:
        starts[phase["name"]] = total
        total += phase["steps"]
    return starts


def _draw_references(axis: Any, results: dict[str, Any]) -> None:
    starts = _phase_starts(results["phases"])
    for name, start in starts.items():
        if start:
            axis.axvline(start, color="#888888", linewidth=0.8)
        place = {"xy": (start, 1.0), "xycoords": ("data", "axes fraction")}
        offset = {"xytext": (4, -4), "textcoords": "offset points"}
        axis.annotate(name, **place, **offset, va="top", fontsize=9, color="#555555")
    references = (
        ("unigram_loss", "unigram frequencies", ":"),
        ("shuffled_context_loss", "another sentence's context", "-."),
    )
    for key, label, style in references:
        if results.get(key) is not None:
            axis.axhline(results[key], color="#555555", linewidth=1, linestyle=style, label=f"{label} (test)")
