"""One table and one picture over what was fine-tuned, published figures beside them.

    xpt compare output/*

Results are found in the folders named and below.
"""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from xpt.finetune.benchmarks import BENCHMARKS
from xpt.finetune.table import (
    Cell,
    Table,
    as_csv,
    check_same_data,
    columns_of,
    find_results,
    markdown,
    tabulate,
)
from xpt.program.errors import XPTError
from xpt.program.figure import new_figure
from xpt.program.files import check_writable, write_text_atomically
from xpt.program.formatting import clip
from xpt.program.options import OptionParser, leading
from xpt.program.script import main_of
from xpt.program.settings import option
from xpt.run.plots import COLORS

INTRODUCTION = """\
Compare fine-tuned models: one table (Markdown, CSV) and one picture over all results found.

  xpt compare FOLDER ... --output_dir output/comparison

Numbers are percent: the mean over seeds, ± the standard deviation where there are several. Those of KoBEST
have their 95 % interval over examples beside them, and what chance and a constant answer get. Results of one
task must be of the same data, training and validation; published figures follow in a section of their own."""

SHORT = 25  # a bar up to this many percent has its number beside it


@dataclass
class CompareArguments:
    """What goes together, and where it goes."""

    separate: bool = option(
        False, "Give results of different data lines of their own. Default: they are refused."
    )
    published: bool = option(True, "Add the published figures of the benchmark's own models.")
    output_dir: str | None = option(
        None,
        "Folder for compare.md, compare.csv and compare.png. Default: none, only the table is printed.",
    )


@dataclass(frozen=True)
class Comparison:
    """What was fine-tuned, side by side.

    A notebook shows it as its table; `str()` is that table in Markdown, `as_csv()` has a line for each cell,
    `draw(path)` is the picture, and `save(folder)` writes all three.

    Args:
        table: `table[model][column]` is a cell with `mean`, `spread` over seeds and `values`, in percent.
        published: whether the benchmark's own models follow in a section of their own.

    Example:
        >>> comparison = xpt.compare("output", published=False)
        >>> comparison.save("output/comparison")
        >>> comparison.as_csv().splitlines()[1].split(",")[0]
        'mine'
    """

    table: Table
    published: bool = True

    def __str__(self) -> str:
        text = markdown(self.table)
        for benchmark in BENCHMARKS.values() if self.published else ():
            wanted = {each.metric for each in columns_of(self.table) if each.benchmark == benchmark.name}
            figures = benchmark.published(wanted) if wanted else ""
            text += f"\n\n{figures}" if figures else ""
        return text

    _repr_markdown_ = __str__

    def as_csv(self) -> str:
        """A line for each cell, with the hashes of its model and data; unrounded."""
        return as_csv(self.table)

    def draw(self, path: str | Path) -> None:
        """A panel for each metric, a bar for each model (PNG)."""
        draw(self.table, Path(path))

    def save(self, folder: str | Path) -> None:
        """Write compare.md, compare.csv and compare.png. Raises `XPTError` where that cannot be."""
        folder = Path(folder)
        check_writable(folder, "--output_dir")
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / "compare.md", f"{self}\n")
        write_text_atomically(folder / "compare.csv", self.as_csv())
        self.draw(folder / "compare.png")


def compare(
    folders: str | Path | Iterable[str | Path], *, separate: bool = False, published: bool = True
) -> Comparison:
    """One table over what was fine-tuned: the mean over seeds, ± the standard deviation, in percent.

    Args:
        folders: of results; they are found below, too.
        separate: whether results of different data get lines of their own; else they are refused.
        published: whether the published figures of the benchmark's own models follow.

    Raises:
        XPTError: no results, or results of one metric on different data.

    Example:
        >>> comparison = xpt.compare(["output/nli"])
        >>> print(str(comparison).splitlines()[0])
        | | mine (num_train_epochs 1) |
        >>> [(model.name, column.metric) for model, cells in comparison.table.items() for column in cells]
        [('mine', 'nli/accuracy')]
    """
    named = [folders] if isinstance(folders, str | Path) else folders
    table = tabulate(find_results(map(Path, named)))
    if not separate:
        check_same_data(table)
    return Comparison(table, published)


def draw(table: Table, path: Path) -> None:
    """A panel for each metric, a bar for each model, the spread over seeds as a line (PNG).

    Of scores with an interval over examples that is the line, and lines across tell what needs no model.
    """
    columns, rows = columns_of(table), list(table)
    across = min(3, len(columns))
    down = math.ceil(len(columns) / across)
    height = 0.7 + 0.34 * len(rows)
    figure = new_figure(4.6 * across, height * down)
    axes = figure.subplots(down, across, squeeze=False)
    marks: tuple[Any, ...] = ()
    for axis, column in zip_longest(axes.flat, columns):
        if column is None:
            axis.set_axis_off()
            continue
        shown = [row for row in rows if column in table[row]]
        for place, row in enumerate(reversed(shown)):
            cell, color = table[row][column], COLORS[rows.index(row) % len(COLORS)]
            axis.barh(place, cell.mean, xerr=_reach(cell), color=color, height=0.6, ecolor="#333333")
            inside = cell.mean > SHORT
            start, ink = (1, "white") if inside else (cell.mean + _above(cell) + 1, "#333333")
            axis.text(
                start,
                place,
                str(cell) if cell.interval is None else f"{cell.mean:.2f}",
                va="center",
                fontsize=8,
                color=ink,
            )
        for (name, score), style in zip(column.baselines, ("--", ":"), strict=False):
            axis.axvline(score, color="#333333", linewidth=0.8, linestyle=style, label=name)
        if column.baselines:
            marks = axis.get_legend_handles_labels()
        axis.set_yticks(range(len(shown)), [clip(row.title, 34) for row in reversed(shown)], fontsize=8)
        axis.set_title("\n".join(textwrap.wrap(column.title, 32)), fontsize=9)
        axis.set_xlim(0, 100)
        axis.spines[["top", "right"]].set_visible(False)
    if marks:
        figure.legend(*marks, frameon=False, fontsize=8, loc="outside lower right", ncols=2)
    figure.savefig(path, dpi=120)


def _reach(cell: Cell) -> Any:
    """How far the line on a bar reaches: the interval over examples, or the spread over seeds."""
    if cell.interval is None:
        return cell.spread
    low, high = cell.interval
    return [[cell.mean - low], [high - cell.mean]]


def _above(cell: Cell) -> float:
    return cell.spread or 0 if cell.interval is None else cell.interval[1] - cell.mean


def make_parser() -> OptionParser:
    """The parser behind `xpt compare --help`."""
    return OptionParser((CompareArguments,), "xpt compare", INTRODUCTION)


def _compare(arguments: Sequence[str]) -> str:
    folders = leading(arguments)
    (given,) = make_parser().read(arguments[len(folders) :], Path).parts
    if not folders:
        raise XPTError("name folders of results (see --help)")
    comparison = compare(folders, separate=given.separate, published=given.published)
    if given.output_dir:
        comparison.save(given.output_dir)
    return str(comparison)


main = main_of(_compare)
