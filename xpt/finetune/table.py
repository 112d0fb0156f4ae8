"""Results of fine-tuning as one table: models by tasks, the mean of seeds and their spread.

Runs of one model, known by the hash of its weights, that differ in nothing but the seed are one cell. What
was learned or scored on other data never shares a line.
"""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.finetune.benchmarks import BENCHMARKS, benchmark_of
from xpt.finetune.scored import scored_data
from xpt.program.errors import XPTError


@dataclass(frozen=True)
class Cell:
    """The scores of one model in one column, over seeds.

    `intervals` are those of each score over examples; none where the task has none.
    """

    values: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...] = ()

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation of the sample; None of a single run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """From where to where other examples might have put it: the mean over seeds of their intervals."""
        if not self.intervals:
            return None
        low, high = map(statistics.fmean, zip(*self.intervals, strict=True))
        return low, high

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.2f}"
        interval = "" if self.interval is None else " [{:.2f}, {:.2f}]".format(*self.interval)
        return f"{self.mean:.2f}{spread}{interval}"


@dataclass(frozen=True)
class Column:
    """A metric, learned and scored on the same data.

    Args:
        metric: its official name.
        reported_as: the task, and what is not as in the benchmark.
        data: hashes of the splits, the scored one last.
        part: how much of them there was; "" for the whole sets.
        benchmark: whose metric it is.
        baselines: scores of answers without a model on the same examples, by name.
    """

    metric: str
    reported_as: str
    data: tuple[str, ...]
    part: str
    benchmark: str = "klue"
    baselines: tuple[tuple[str, float], ...] = ()

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
SPLITS = ("train", "validation", "test")


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
            if benchmark_of(results) is not None:
                found.append(results)
    if not found:
        raise XPTError("there are no results of finetune_klue.py in these folders")
    return found


def tabulate(results: Sequence[dict[str, Any]]) -> Table:
    """Scores by model and column, seeds together; what is undefined is left out."""
    found: dict[Row, dict[Column, dict[int, dict[str, Any]]]] = {}
    for one in results:
        row = Row(one["model"]["name"], one["model"]["sha256"], _how(one))
        for metric in BENCHMARKS[one["kind"]].metrics[one["task"]]:
            if one["metrics"][metric] is not None:
                found.setdefault(row, {}).setdefault(_column(one, metric), {})[one["seed"]] = one
    return {
        row: {column: _cell(column.metric, list(seeds.values())) for column, seeds in columns.items()}
        for row, columns in found.items()
    }


def _column(results: dict[str, Any], metric: str) -> Column:
    return Column(
        metric,
        results["reported_as"],
        tuple(split["sha256"] for split in results["data"].values()),
        _part([results["data"]["train"], scored_data(results)]),
        results["kind"],
        tuple((name, scores[metric]) for name, scores in results.get("baselines", {}).items()),
    )


def _cell(metric: str, runs: Sequence[dict[str, Any]]) -> Cell:
    intervals = [run["intervals"][metric] for run in runs if "intervals" in run]
    return Cell(tuple(run["metrics"][metric] for run in runs), tuple((low, high) for low, high in intervals))


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


def check_same_data(table: Table) -> None:
    """Raise `XPTError` where results of one metric are of different data, which nothing can be told from."""
    seen: dict[tuple[str, str, str], tuple[Row, Column]] = {}
    for row, cells in table.items():
        for column in cells:
            first_row, first = seen.setdefault(
                (column.benchmark, column.metric, column.reported_as), (row, column)
            )
            for split, one, other in zip(SPLITS, first.data, column.data, strict=False):
                if one != other:
                    raise XPTError(
                        f"{column.metric}: the {split} data of {first_row.name} ({one[:12]}) and of "
                        f"{row.name} ({other[:12]}) differ; name results of the same data, or give each "
                        "its own line with --separate true"
                    )


def columns_of(table: Table) -> list[Column]:
    """All columns, benchmark by benchmark, in the order of each."""
    found = dict.fromkeys(column for cells in table.values() for column in cells)
    metrics = [
        (name, metric)
        for name, benchmark in BENCHMARKS.items()
        for names in benchmark.metrics.values()
        for metric in names
    ]
    return sorted(
        found,
        key=lambda column: (
            metrics.index((column.benchmark, column.metric)),
            column.reported_as,
            column.part,
        ),
    )


def baseline_names(table: Table) -> list[str]:
    """Of all answers without a model that a table's columns have scores of."""
    return list(dict.fromkeys(name for column in columns_of(table) for name, _ in column.baselines))


def markdown(table: Table) -> str:
    """A line for each metric, a column for each model; the best of several is bold.

    What answers without a model get stands in columns before them, where there is such.
    """
    rows, baselines = list(table), baseline_names(table)
    titles = [*baselines, *(row.title for row in rows)]
    lines = ["| | " + " | ".join(titles) + " |", "|-|" + "-|" * len(titles)]
    for column in columns_of(table):
        means = [table[row][column].mean for row in rows if column in table[row]]
        known = dict(column.baselines)
        shown = [f"{known[name]:.2f}" if name in known else "" for name in baselines]
        for row in rows:
            cell = table[row].get(column)
            best = cell is not None and len(means) > 1 and cell.mean == max(means)
            shown.append("" if cell is None else f"**{cell}**" if best else str(cell))
        lines.append(f"| {column.title} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def as_csv(table: Table) -> str:
    """A line for each cell, with the hashes of its model and data; scores in percent, unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns, baselines = columns_of(table), baseline_names(table)
    more = ("test_sha256", "low", "high", *baselines) if baselines else ()
    writer.writerow(
        (
            *("model", "model_sha256", "changed", "task", "metric", "part", "train_sha256"),
            *("validation_sha256", "runs", "mean", "standard_deviation", *more),
        )
    )
    for row, cells in table.items():
        for column in (column for column in columns if column in cells):
            cell = cells[column]
            place = (row.name, row.sha256, row.how, column.reported_as, column.metric, column.part)
            scores = (len(cell.values), cell.mean, cell.spread)
            beside = (*column.data[2:], *(cell.interval or ()), *(score for _, score in column.baselines))
            writer.writerow((*place, *column.data[:2], *scores, *beside))
    return text.getvalue()
