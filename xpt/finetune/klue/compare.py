"""One table and one picture over what was fine-tuned, published figures beside them.

    xpt compare output/*

Results are found in the folders named and below.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from xpt.finetune.klue.published import published_figures
from xpt.finetune.klue.table import (
    Table,
    as_csv,
    check_same_data,
    columns_of,
    find_results,
    markdown,
    tabulate,
)
from xpt.program.errors import XPTError
from xpt.program.files import check_writable, write_text_atomically
from xpt.program.formatting import clip
from xpt.program.options import OptionParser, leading
from xpt.program.script import main_of
from xpt.program.settings import option
from xpt.run.plots import COLORS

INTRODUCTION = """\
Compare fine-tuned models: one table (Markdown, CSV) and one picture over all results found.

  xpt compare FOLDER ... --output_dir output/comparison

Numbers are percent: the mean over seeds, ± the standard deviation where there are several. Results of one
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


def draw(table: Table, path: Path) -> None:
    """A panel for each metric, a bar for each model, the spread over seeds as a line (PNG)."""
    columns, rows = columns_of(table), list(table)
    across = min(3, len(columns))
    down = math.ceil(len(columns) / across)
    height = 0.7 + 0.34 * len(rows)
    figure, axes = plt.subplots(
        down, across, figsize=(4.6 * across, height * down), layout="constrained", squeeze=False
    )
    for axis, column in zip_longest(axes.flat, columns):
        if column is None:
            axis.set_axis_off()
            continue
        shown = [row for row in rows if column in table[row]]
        for place, row in enumerate(reversed(shown)):
            cell, color = table[row][column], COLORS[rows.index(row) % len(COLORS)]
            axis.barh(place, cell.mean, xerr=cell.spread, color=color, height=0.6, ecolor="#333333")
            inside = cell.mean > SHORT
            start, ink = (1, "white") if inside else (cell.mean + (cell.spread or 0) + 1, "#333333")
            axis.text(start, place, str(cell), va="center", fontsize=8, color=ink)
        axis.set_yticks(range(len(shown)), [clip(row.title, 34) for row in reversed(shown)], fontsize=8)
        axis.set_title("\n".join(textwrap.wrap(column.title, 32)), fontsize=9)
        axis.set_xlim(0, 100)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def make_parser() -> OptionParser:
    """The parser behind `xpt compare --help`."""
    return OptionParser((CompareArguments,), "xpt compare", INTRODUCTION)


def _compare(arguments: Sequence[str]) -> str:
    folders = leading(arguments)
    (given,) = make_parser().read(arguments[len(folders) :], Path).parts
    if not folders:
        raise XPTError("name folders of results (see --help)")
    table = tabulate(find_results(map(Path, folders)))
    if not given.separate:
        check_same_data(table)
    text = markdown(table)
    if given.published:
        text += f"\n\n{published_figures({column.metric for column in columns_of(table)})}"
    if given.output_dir:
        folder = Path(given.output_dir)
        check_writable(folder, "--output_dir")
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / "compare.md", text + "\n")
        write_text_atomically(folder / "compare.csv", as_csv(table))
        draw(table, folder / "compare.png")
    return text


main = main_of(_compare)
