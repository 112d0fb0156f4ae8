"""What the benchmark's authors report of nine models: to be seen beside results of ours, not among them.

`published.csv` has a line for each model, percent, attachment scores as macro F1. Source: README of the KLUE
data repository, commit 3efd987 (2021-11-03), "test-set results". An earlier state of that table had other
figures, so the date belongs to every quotation.
"""

import csv
from collections.abc import Collection
from pathlib import Path

SOURCE = "KLUE data repository, commit 3efd987, 2021-11-03"
FILE = Path(__file__).with_name("published.csv")


def read_published() -> dict[str, dict[str, str]]:
    """Metric -> model -> figure, as it was printed."""
    with open(FILE, encoding="utf-8", newline="") as file:
        models = list(csv.DictReader(file))
    return {
        metric: {model["model"]: model[metric] for model in models}
        for metric in models[0]
        if metric != "model"
    }


def published_figures(wanted: Collection[str]) -> str:
    """A section with a line for each of the `wanted` metrics that there are figures of, in Markdown."""
    published = read_published()
    models = list(next(iter(published.values())))
    lines = [
        f"Published, on the hidden test set ({SOURCE}); no runs of this package:",
        "",
        "| | " + " | ".join(models) + " |",
        "|-|" + "-|" * len(models),
    ]
    for metric, figures in published.items():
        if metric in wanted:
            lines.append(f"| {metric.replace('/', ' ')} | " + " | ".join(figures.values()) + " |")
    return "\n".join(lines)
