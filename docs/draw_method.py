"""Draw the method: `python docs/draw_method.py` writes docs/method.png."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

NEW, KEPT, FROZEN = "#c2571a", "#1f5fa8", "#9aa5b1"
LAYERS = (
    ("LM-head transform (trained if new)", "head"),
    ("ITL out", "new"),
    ("source layer L", "kept"),
    ("…", "kept"),
    ("source layer 1", "kept"),
    ("ITL in", "new"),
    ("word embeddings = output matrix (target language)", "new"),
)
STAGES = (
    ("source model (English)", "before"),
    ("phase 1: train what is new", "phase1"),
    ("phase 2: train everything", "phase2"),
)


def color(kind: str, stage: str) -> str:
    """What a box looks like in a stage: orange is trained, gray is frozen, blue is the source model."""
    if stage == "before":
        return KEPT
    if stage == "phase2" or kind == "new":
        return NEW
    return FROZEN


def draw_stage(axis, left: float, title: str, stage: str) -> None:
    """One column of boxes, from the embeddings at the bottom to the head."""
    for row, (label, kind) in enumerate(LAYERS):
        if stage == "before" and label.startswith("ITL"):
            continue
        shown = label if stage == "phase1" else label.split(" (trained")[0]
        if stage == "before":
            shown = shown.replace("(target language)", "(English)")
        fill = color(kind, stage)
        dashed = "--" if kind == "head" and stage == "phase1" else "-"
        axis.add_patch(
            FancyBboxPatch(
                (left, -row),
                3.6,
                0.62,
                boxstyle="round,pad=0.04",
                facecolor=fill,
                edgecolor="#333333",
                alpha=0.85,
                linestyle=dashed,
            )
        )
        axis.text(left + 1.8, -row + 0.31, shown, ha="center", va="center", color="white", fontsize=8.5)
    axis.text(left + 1.8, 1.15, title, ha="center", fontsize=11, weight="bold")


def main() -> None:
    figure, axis = plt.subplots(figsize=(11.5, 5.4), layout="constrained")
    for column, (title, stage) in enumerate(STAGES):
        draw_stage(axis, column * 4.5, title, stage)
    for column in (0, 1):
        arrow = {"arrowstyle": "-|>", "color": "#333333", "linewidth": 1.5}
        axis.annotate("", (column * 4.5 + 4.4, -2.7), (column * 4.5 + 3.75, -2.7), arrowprops=arrow)
    for position, (shade, meaning) in enumerate(
        (
            (KEPT, "pre-trained on English"),
            (FROZEN, "copied (weight transfer), frozen"),
            (NEW, "trained by masked language modeling"),
        )
    ):
        axis.add_patch(plt.Rectangle((0.1 + 3.9 * position, -7.1), 0.35, 0.35, color=shade, alpha=0.85))
        axis.text(0.55 + 3.9 * position, -6.93, meaning, va="center", fontsize=9)
    axis.set(xlim=(-0.2, 12.9), ylim=(-7.4, 1.7))
    axis.axis("off")
    figure.savefig(Path(__file__).with_name("method.png"), dpi=130)


if __name__ == "__main__":
    main()
