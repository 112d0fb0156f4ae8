"""What a fine-tuning leaves to look at: predictions in the scorer's format, and the picture of its scores."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpt.program.figure import new_figure
from xpt.run.plots import COLORS


def write_predictions(predictions: Sequence[dict[str, Any]], path: Path) -> None:
    """One JSON object a line, as `xpt score` reads them."""
    with open(path, "w", encoding="utf-8") as file:
        for line in predictions:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def plot_scores(results: dict[str, Any], log: Sequence[dict[str, Any]], path: Path) -> None:
    """Training loss and validation scores over the steps, the best one marked (PNG)."""
    figure = new_figure(9, 5)
    losses = figure.subplots()
    scores = losses.twinx()
    logged = [(entry["step"], entry["loss"]) for entry in log if "loss" in entry]
    if logged:
        losses.plot(*zip(*logged, strict=True), color="#999999", linewidth=1.2, label="training loss")
    for color, name in zip(COLORS, results["metrics"], strict=False):
        points = [(entry["step"], entry[f"eval_{name}"]) for entry in log if f"eval_{name}" in entry]
        points = [(step, value) for step, value in points if value is not None]
        if points:
            scores.plot(*zip(*points, strict=True), "o-", color=color, markersize=4, label=name)
    if results["best_step"] is not None:
        scores.axvline(results["best_step"], color="#555555", linewidth=0.8, linestyle=":", label="best step")
    losses.set(xlabel="optimizer step", ylabel="training loss")
    scores.set(ylabel="validation score (%)")
    name, task = results["model"]["name"], results["reported_as"]
    losses.set_title(f"{name} on {task}, seed {results['seed']}")
    for axis in (losses, scores):
        axis.spines["top"].set_visible(False)
    handles = [*losses.get_legend_handles_labels()[0], *scores.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, frameon=False, fontsize=9, loc="outside lower center", ncols=len(handles))
    figure.savefig(path, dpi=120)
