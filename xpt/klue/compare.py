"""One table and one picture over what was fine-tuned: models by tasks, the mean of seeds and their spread.

    python -m xpt.klue.compare output/*

Results are found in the folders named and below. Runs of one model, known by the hash of its weights, that
differ in nothing but the seed are one cell. What was learned or scored on other data, on a part for instance,
stands in a line of its own that says so.
"""

import json
import math
import statistics
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from xpt.errors import XPTError
from xpt.files import check_writable, write_text_atomically
from xpt.klue.klue_metric.names import OFFICIAL
from xpt.legible import clip
from xpt.options import OptionParser, option
from xpt.plots import COLORS
from xpt.program import run_program

INTRODUCTION = """\
Compare fine-tuned models: one table (Markdown) and one picture over all results found.

  python -m xpt.klue.compare FOLDER ... --output_dir output/comparison

Numbers are percent: the mean over seeds, ± the standard deviation where there are several."""


@dataclass
class CompareArguments:
    """Where it goes."""

    output_dir: str | None = option(
        None, "Folder for compare.md and compare.png. Default: none, only the table is printed."
    )


@dataclass(frozen=True)
class Cell:
    """The scores of one model in one column, over seeds."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation of the sample; None of a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.2f}"
        return f"{self.mean:.2f}{spread}"


@dataclass(frozen=True)
class Column:
    """A metric, learned and scored on the same data.

    Args:
        metric: its official name.
        reported_as: the task, and what is not as in the benchmark.
        data: hashes of both splits.
        part: how much of them there was; "" for the whole sets.
    """

    metric: str
    reported_as: str
    data: tuple[str, str]
    part: str

    @property
    def title(self) -> str:
        name = self.metric.split("/")[1]
        return f"{self.reported_as} {name}{f' ({self.part})' if self.part else ''}"


@dataclass(frozen=True)
class Row:
    """A model, by the hash of its weights, and what of its fine-tuning is not as in the benchmark."""

    name: str
    sha256: str
    how: str

    @property
    def title(self) -> str:
        return f"{self.name} ({self.how})" if self.how else self.name


Table = dict[Row, dict[Column, Cell]]


def find_results(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """All results of fine-tuning in folders and below. Raises `XPTError` where there are none."""
    found = []
    for folder in folders:
        if not folder.exists():
            raise XPTError(f"{folder}: no such folder")
        for file in [folder] if folder.is_file() else sorted(folder.rglob("results.json")):
            try:
                results = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise XPTError(f"{file} cannot be read; delete it, and fine-tune again") from error
            if isinstance(results, dict) and results.get("kind") == "klue":
                found.append(results)
    if not found:
        raise XPTError("there are no results of finetune_klue.py in these folders")
    return found


def tabulate(results: Sequence[dict[str, Any]]) -> Table:
    """Scores by model and column, seeds together; what is undefined is left out."""
    values: dict[Row, dict[Column, dict[int, float]]] = {}
    for one in results:
        row = Row(one["model"]["name"], one["model"]["sha256"], _how(one))
        splits = [one["data"][split] for split in ("train", "validation")]
        for metric in OFFICIAL[one["task"]]:
            column = Column(
                metric, one["reported_as"], (splits[0]["sha256"], splits[1]["sha256"]), _part(splits)
            )
            if one["metrics"][metric] is not None:
                values.setdefault(row, {}).setdefault(column, {})[one["seed"]] = one["metrics"][metric]
    return {
        row: {column: Cell(tuple(seeds.values())) for column, seeds in columns.items()}
        for row, columns in values.items()
    }


def _how(results: dict[str, Any]) -> str:
    changed = [f"{name} {value}" for name, value in results["changed"].items()]
    return ", ".join(["LoRA"] * bool(results["model"]["lora"]) + changed)


def _part(splits: Sequence[dict[str, Any]]) -> str:
    """How much was learned and scored, where that is not all."""
    shown = [
        f"{verb} {split['records']:,} of {split['official_records']:,}"
        for verb, split in zip(("learned", "scored"), splits, strict=True)
        if not split["whole"]
    ]
    return ", ".join(shown)


def columns_of(table: Table) -> list[Column]:
    """All columns, in the benchmark's order."""
    found = dict.fromkeys(column for cells in table.values() for column in cells)
    metrics = [metric for names in OFFICIAL.values() for metric in names]
    return sorted(found, key=lambda column: (metrics.index(column.metric), column.reported_as, column.part))


def markdown(table: Table) -> str:
    """A line for each metric, a column for each model; the best of several is bold."""
    rows = list(table)
    lines = ["| | " + " | ".join(row.title for row in rows) + " |", "|-|" + "-|" * len(rows)]
    for column in columns_of(table):
        means = [table[row][column].mean for row in rows if column in table[row]]
        shown = []
        for row in rows:
            cell = table[row].get(column)
            best = cell is not None and len(means) > 1 and cell.mean == max(means)
            shown.append("" if cell is None else f"**{cell}**" if best else str(cell))
        lines.append(f"| {column.title} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


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
            axis.text(1, place, str(cell), va="center", fontsize=8, color="white")
        axis.set_yticks(range(len(shown)), [clip(row.title, 34) for row in reversed(shown)], fontsize=8)
        axis.set_title("\n".join(textwrap.wrap(column.title, 44)), fontsize=9)
        axis.set_xlim(0, 100)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _compare(arguments: Sequence[str]) -> str:
    folders = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    parser = OptionParser((CompareArguments,), "python -m xpt.klue.compare", INTRODUCTION)
    (given,) = parser.read(arguments[len(folders) :], Path).parts
    if not folders:
        raise XPTError("name folders of results (see --help)")
    table = tabulate(find_results(map(Path, folders)))
    text = markdown(table)
    if given.output_dir:
        folder = Path(given.output_dir)
        check_writable(folder, "--output_dir")
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / "compare.md", text + "\n")
        draw(table, folder / "compare.png")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives back the exit code of `run_program`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(lambda stop: _compare(given))


if __name__ == "__main__":
    sys.exit(main())
