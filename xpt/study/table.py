"""The answer of a study: a line for each row and measure, its interval, its difference from the first row."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from xpt.program.formatting import short_count
from xpt.study.data_factor import DataFactor, data_factor
from xpt.study.measures import START, Reached, Record, higher_is_better
from xpt.study.settings import Labels
from xpt.study.statistics import Estimate, estimate, paired_difference

SENTENCES = "train_sentences"
ONE_SEED = "one seed: no interval"
HEAD = ("measure", "row", "seeds", "tokens read", "mean", "spread", "95 % interval")
HEAD_PAIRED = ("to first", "95 % interval", "beyond noise")
CSV_HEAD = (
    *("measure", "row", "compared_with", "seeds", "tokens", "mean", "spread", "low", "high"),
    *("difference", "difference_low", "difference_high", "pairs", "values"),
)
FACTOR_HEAD = ("measure", "row", "compared with", "data factor (95 % interval)")


@dataclass(frozen=True)
class Line:
    """One row in one measure.

    Args:
        measure, row: their names; reference: the row that it is compared with, None for that itself.
        values: by seed; tokens: that its runs had read by then, on average.
        own: their mean; None where nothing is measured yet.
        difference: to the reference, paired by seed; None where no seed has both.
    """

    measure: str
    row: str
    reference: str | None
    values: dict[int, float]
    tokens: float
    own: Estimate | None
    difference: Estimate | None


@dataclass(frozen=True)
class Factor:
    """A row's data factor in one measure."""

    measure: str
    row: str
    reference: str
    factor: DataFactor


# ---- what is compared ------------------------------------------------------------------------------------


def rows_of(reached: Reached) -> list[Labels]:
    """Rows with a finished run, in the order of the axes."""
    found = {tuple(record.labels.items()): record.labels for record in reached.records}
    order = {
        axis: {label: place for place, label in enumerate(axis_of)} for axis, axis_of in reached.axes.items()
    }
    return sorted(found.values(), key=lambda row: [order[axis][row[axis]] for axis in reached.axes])


def row_name(reached: Reached, row: Labels) -> str:
    """A row by its values on the axes that vary."""
    varied = [axis for axis, values in reached.axes.items() if len(values) > 1]
    if not varied:
        return reached.name
    if len(varied) == 1:
        return f"{varied[0]} {row[varied[0]]}" if row[varied[0]].isdecimal() else row[varied[0]]
    return ", ".join(f"{axis} {row[axis]}" for axis in varied)


def values_of(reached: Reached, row: Labels, measure: str) -> dict[int, float]:
    """The finished runs' values by seed."""
    return {
        record.seed: value
        for record in _records(reached, row)
        if (value := record.figures.get(measure)) is not None
    }


def _records(reached: Reached, row: Labels) -> list[Record]:
    return [record for record in reached.records if record.labels == row]


def lines_of(reached: Reached) -> list[Line]:
    """All lines, measure by measure."""
    lines, rows = [], rows_of(reached)
    for measure in reached.measures:
        for row in rows:
            records, values = _records(reached, row), values_of(reached, row, measure)
            against = {**row, **reached.first}
            is_first = against == row
            difference = None if is_first else paired_difference(values, values_of(reached, against, measure))
            lines.append(
                Line(
                    measure=measure,
                    row=row_name(reached, row),
                    reference=None if is_first else row_name(reached, against),
                    values=values,
                    tokens=0 if measure == START else sum(one.tokens for one in records) / len(records),
                    own=estimate(list(values.values())) if values else None,
                    difference=difference,
                )
            )
    return lines


def factors_of(reached: Reached) -> list[Factor]:
    """How much more text the compared rows need, where the number of sentences is an axis."""
    if not all(label.isdecimal() for label in reached.axes.get(SENTENCES, ["?"])):
        return []
    found = []
    for measure in reached.measures:
        for row in rows_of(reached):
            against = {**row, **reached.first}
            if against == row or SENTENCES in reached.first or measure == START:
                continue
            control = {
                int(size): values
                for size in reached.axes[SENTENCES]
                if (values := values_of(reached, {**against, SENTENCES: size}, measure))
            }
            factor = data_factor(
                int(row[SENTENCES]), values_of(reached, row, measure), control, higher_is_better(measure)
            )
            if factor is not None:
                found.append(Factor(measure, row_name(reached, row), row_name(reached, against), factor))
    return found


# ---- in words --------------------------------------------------------------------------------------------


def markdown(reached: Reached) -> str:
    """The table, the data factors where there are some, and what is not there yet."""
    done = len(reached.records)
    parts = [f"**{reached.name}**: {done} of {reached.planned} runs are finished.{_spent(reached)}"]
    if done:
        body = [_cells(line) for line in lines_of(reached)]
        parts.append(_table((*HEAD, *HEAD_PAIRED), body))
    if factors := factors_of(reached):
        body = [(one.measure, one.row, one.reference, str(one.factor)) for one in factors]
        parts.append(_table(FACTOR_HEAD, body))
    return "\n\n".join(parts)


def _spent(reached: Reached) -> str:
    """How a budget of minutes, or until validation stands still, was met."""
    said, budget = "", reached.budget
    minutes = [record.minutes for record in reached.records if record.minutes is not None]
    if "minutes" in budget and minutes:
        said += f" Training took {min(minutes):.3g} to {max(minutes):.3g} of {budget['minutes']:g} minutes."
    if "until" in budget and reached.records:
        early = sum(record.early > 0 for record in reached.records)
        said += f" Validation ended a phase before its last step in {early} of them."
    return said


def _cells(line: Line) -> tuple[str, ...]:
    own = line.own
    start = (line.measure, line.row, str(len(line.values)), short_count(line.tokens))
    if own is None:
        return (*start, "-", "-", "-", "", "", "")
    spread = "-" if own.spread is None else _number(own.spread, line)
    return (*start, _number(own.mean, line), spread, _interval(own, line), *_compared(line))


def _compared(line: Line) -> tuple[str, str, str]:
    if line.reference is None:
        return ("first", "", "")
    if line.difference is None:
        return ("-", "", "no seed has both")
    difference = line.difference
    sign = "+" if difference.mean > 0 else ""
    if difference.low is None:
        verdict = ONE_SEED
    elif not difference.differs_from_zero:
        verdict = "no"
    else:
        verdict = "higher" if difference.mean > 0 else "lower"
    return (f"{sign}{_number(difference.mean, line)}", _interval(difference, line), verdict)


def _interval(value: Estimate, line: Line) -> str:
    if value.low is None or value.high is None:
        return ONE_SEED
    return f"{_number(value.low, line)} to {_number(value.high, line)}"


def _number(value: float, line: Line) -> str:
    return f"{value:.2f}" if higher_is_better(line.measure) else f"{value:.3f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["-"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def as_csv(reached: Reached) -> str:
    """A line for each row and measure, unrounded, with the value of each seed."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for line in lines_of(reached):
        own, difference = line.own, line.difference
        values = " ".join(f"{seed}:{value!r}" for seed, value in line.values.items())
        writer.writerow(
            [line.measure, line.row, line.reference, len(line.values), round(line.tokens)]
            + ([own.mean, own.spread, own.low, own.high] if own else [None] * 4)
            + (
                [difference.mean, difference.low, difference.high, difference.count]
                if difference
                else [None] * 4
            )
            + [values]
        )
    return file.getvalue()
