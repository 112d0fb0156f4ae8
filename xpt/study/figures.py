"""A study's picture: loss and scores over tokens, each measure with its interval, scores by sentences."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.ticker import EngFormatter

from xpt.program.figure import new_figure
from xpt.program.formatting import clip
from xpt.study.measures import LOSS, START, Reached, higher_is_better
from xpt.study.statistics import estimate
from xpt.study.table import SENTENCES, Line, factors_of, lines_of, row_name, rows_of, values_of

ACROSS = 3  # panels beside each other
NAME = 40  # columns of a row's name
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")
LABELS = {
    "loss/token": "test loss (nats per masked token)",
    "loss/character": "test loss (nats per character)",
    "loss/byte": "test loss (nats per byte)",
    START: "validation loss before training (nats per masked token)",
}


def draw(reached: Reached, path: Path) -> None:
    """Draw what is finished into `path` (PNG). There must be at least one run."""
    lines = lines_of(reached)
    measured = [name for name in reached.measures if any(line.own for line in lines if line.measure == name)]
    panels: list[Callable[[Any], None]] = [lambda axis: _draw_curves(axis, reached)]
    panels += [_along(reached, measure) for measure in measured if _is_along(reached, measure)]
    panels += [_panel(lines, measure) for measure in measured]
    if factors_of(reached):
        chosen = [measure for measure in measured if higher_is_better(measure)] or [LOSS]
        panels += [_growth(reached, measure) for measure in chosen]
    across = min(ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    height = 2.6 + 0.22 * len(rows_of(reached))
    figure = new_figure(5.2 * across, height * down)
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for axis, panel in zip(axes, panels, strict=False):
        panel(axis)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.savefig(path, dpi=120)


def _color(place: int) -> Any:
    return matplotlib.colormaps["tab10"](place % 10)


def _marker(place: int) -> str:
    """Another shape for every ten colors, so that no two rows look the same."""
    return MARKERS[place // 10 % len(MARKERS)]


def _line(place: int) -> str:
    return LINES[place // 10 % len(LINES)]


def _draw_curves(axis: Any, reached: Reached) -> None:
    """Training loss of each run as a thin line, validation loss as dots, over the tokens that it read."""
    for place, row in enumerate(rows_of(reached)):
        name: str | None = clip(row_name(reached, row), NAME)
        for record in (record for record in reached.records if record.labels == row):
            color = _color(place)
            axis.plot(*_points(record.curve), _line(place), color=color, linewidth=0.8, alpha=0.6)
            axis.plot(*_points(record.evaluated), _marker(place), color=color, markersize=4, label=name)
            name = None  # once in the legend
    axis.set(xlabel="tokens read", ylabel="nats per masked token", title="training (line), validation (dots)")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.legend(frameon=False, fontsize=8, loc="upper right")  # where losses that fall leave it free


def _is_along(reached: Reached, measure: str) -> bool:
    return any(record.along.get(measure) for record in reached.records)


def _along(reached: Reached, measure: str) -> Callable[[Any], None]:
    """A measure over the tokens read, a line for each run: beside the loss, as the two can part."""

    def panel(axis: Any) -> None:
        for place, row in enumerate(rows_of(reached)):
            name: str | None = clip(row_name(reached, row), NAME)
            for record in (record for record in reached.records if record.labels == row):
                points = _points(record.along.get(measure, []))
                axis.plot(
                    *points,
                    _marker(place) + _line(place),
                    color=_color(place),
                    linewidth=0.8,
                    markersize=4,
                    label=name,
                )
                name = None
        axis.set(xlabel="tokens read", title=f"{measure} along the way")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.legend(frameon=False, fontsize=8)

    return panel


def _points(pairs: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _panel(lines: list[Line], measure: str) -> Callable[[Any], None]:
    """Means with their intervals, a row of the table each. Dots, as losses do not begin at zero."""

    def panel(axis: Any) -> None:
        shown = [line for line in lines if line.measure == measure and line.own]
        for place, line in enumerate(shown):
            own, height = line.own, len(shown) - place
            assert own is not None
            if own.low is not None:
                axis.plot([own.low, own.high], [height, height], color=_color(place), linewidth=2)
            values = list(line.values.values())
            axis.plot(values, [height] * len(values), "|", color=_color(place), markersize=9, alpha=0.6)
            axis.plot(own.mean, height, _marker(place), color=_color(place), markersize=7)
        axis.set_yticks(range(len(shown), 0, -1), [clip(line.row, NAME) for line in shown], fontsize=8)
        axis.set_ylim(0.4, len(shown) + 0.6)
        axis.set_title(f"{LABELS.get(measure, measure)}\nmean, 95 % interval, each seed", fontsize=9)

    return panel


def _growth(reached: Reached, measure: str) -> Callable[[Any], None]:
    """The measure over the number of training sentences, a line for each arm."""

    def panel(axis: Any) -> None:
        arms = {
            tuple(label for name, label in row.items() if name != SENTENCES): row for row in rows_of(reached)
        }
        for place, row in enumerate(arms.values()):
            sizes, means, below, over = [], [], [], []
            for size in sorted(reached.axes[SENTENCES], key=int):
                if values := list(values_of(reached, {**row, SENTENCES: size}, measure).values()):
                    own = estimate(values)
                    sizes.append(int(size))
                    means.append(own.mean)
                    below.append(0 if own.low is None else own.mean - own.low)
                    over.append(0 if own.high is None else own.high - own.mean)
            named = {name: value for name, value in row.items() if name != SENTENCES}
            name = ", ".join(value for axis_name, value in named.items() if len(reached.axes[axis_name]) > 1)
            axis.errorbar(
                sizes,
                means,
                [below, over],
                fmt=_marker(place) + _line(place),
                color=_color(place),
                capsize=3,
                label=clip(name, NAME),
            )
        axis.set_xscale("log")
        axis.set(xlabel="training sentences", ylabel=LABELS.get(measure, measure))
        axis.legend(frameon=False, fontsize=8)

    return panel
