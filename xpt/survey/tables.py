"""The survey as people and programs read it: a table on a screen, Markdown, CSV, JSON, one model in full."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import wcwidth

from xpt.program.formatting import clip, pad, short_count, wrap
from xpt.survey.models import COUNTS, FIELDS, UNDISCLOSED, Fact, Model, Source

COLUMNS = ("kind", "objective", "year", "text", "vocabulary", "parameters", "positions", "hub")
SHORT = {"vocabulary": "vocab.", "parameters": "param.", "positions": "reads", "hub": "Hub"}
LONGEST = {"name": 23, "kind": 15, "objective": 10, "text": 11}  # columns of a screen
EXACT = ("vocabulary", "parameters", "positions")  # with every digit, where there is room
LEGEND = (
    "reads: tokens. -: undisclosed by its makers. ?: not known to us. One model in full, with sources: "
    "xpt models NAME. All columns: --format markdown"
)
PAGE = (
    *("kind", "objective", "year", "text", "tokenizer", "vocabulary", "parameters", "positions"),
    *("hub", "license"),
)


def shown(field: str, value: Any) -> str:
    """A value in words; a count in three digits."""
    if value is None:
        return "?"
    if isinstance(value, int):
        if field in ("parameters", "vocabulary"):
            return short_count(value)
        return str(value) if field == "year" or field not in COUNTS else f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_word(one)}" for key, one in value.items())
    return " + ".join(value) if isinstance(value, list) else str(value)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_table(models: Sequence[Model]) -> str:
    """A line for each model, as wide as a screen; Korean letters take two columns."""
    head = ["name", *(SHORT.get(column, column) for column in COLUMNS)]
    rows = [head, *([model.name, *(_cell(model, column) for column in COLUMNS)] for model in models)]
    rows = [
        [clip(cell, LONGEST.get(column, 9)) for column, cell in zip(("name", *COLUMNS), row, strict=True)]
        for row in rows
    ]
    widths = [max(map(wcwidth.width, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(pad, row, widths)).rstrip() for row in rows]
    count = f"{len(models)} model{'' if len(models) == 1 else 's'}."
    return "\n".join([*lines, "", wrap(f"{count} {LEGEND}")])


def _cell(model: Model, column: str) -> str:
    if column == "hub":
        return "yes" if model.value("hub") else "no"
    value = model.value(column)
    return "-" if value == UNDISCLOSED else shown(column, value)


def in_full(model: Model) -> str:
    """All facts of a model, each with its source's key, what contradicts it below; then the sources."""
    lines, sources = [f"{model.name}: {model.value('title')}", ""], {}
    width = max(map(len, FIELDS.values())) + 2
    for field, heading in FIELDS.items():
        if field == "title":
            continue
        for place, fact in enumerate(_distinct(model.facts.get(field, ()))):
            first = heading if place == 0 else "" if field == "defects" else "  but also"
            exact = field in EXACT and isinstance(fact.value, int)
            told = f"{fact.value:,}" if exact else shown(field, fact.value)
            lines.append(wrap(f"{told} [{fact.source.key}]", " " * width, pad(first, width)))
            sources[fact.source.key] = fact.source
    missing = [FIELDS[field] for field in PAGE if field not in model.facts]
    if missing:
        lines += ["", wrap(f"Not known to us: {', '.join(missing)}.")]
    lines += ["", "Sources:"]
    lines += [wrap(f"[{one.key}] {one.title} ({one.strength})", "    ", "  ") for one in sources.values()]
    return "\n".join(lines)


def as_markdown(models: Sequence[Model]) -> str:
    """A table with the number of each fact's source, the defects, and the sources."""
    numbers: dict[Source, int] = {}

    def cited(field: str, facts: Sequence[Fact]) -> str:
        told = [
            f"{_linked(field, fact)} [{numbers.setdefault(fact.source, len(numbers) + 1)}]" for fact in facts
        ]
        return told[0] + (f" ({'; '.join(told[1:])})" if told[1:] else "") if told else "?"

    rows = [
        [f"`{model.name}`", *(cited(field, _distinct(model.facts.get(field, ()))) for field in PAGE)]
        for model in models
    ]
    parts = [_grid(["name", *(FIELDS[field] for field in PAGE)], rows)]
    known = [
        [f"`{model.name}`", cited("defects", [fact])]
        for model in models
        for fact in model.facts.get("defects", ())
    ]
    if known:
        parts.append("What is known to be wrong with them:\n\n" + _grid(["name", "what"], known))
    sources = [[str(number), source.title, source.strength] for source, number in numbers.items()]
    parts.append(f"Sources:\n\n{_grid(['', 'source', 'strength'], sources)}")
    return "\n\n".join(parts)


def _distinct(facts: Sequence[Fact]) -> list[Fact]:
    """Facts that say something else than those before them."""
    return list({str(fact.value): fact for fact in reversed(facts)}.values())[::-1]


def _linked(field: str, fact: Fact) -> str:
    if field == "hub":
        return f"[{fact.value}](https://huggingface.co/{fact.value})"
    return shown(field, fact.value)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["-"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_csv(models: Sequence[Model]) -> str:
    """A line for each fact, unrounded, with its source."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["model", "field", "value", "source", "strength", "where"])
    for model in models:
        for field, facts in model.facts.items():
            for fact in facts:
                value = fact.value if isinstance(fact.value, int) else shown(field, fact.value)
                writer.writerow(
                    [model.name, field, value, fact.source.key, fact.source.strength, fact.source.title]
                )
    return out.getvalue().rstrip("\n")


def as_json(models: Sequence[Model]) -> str:
    """The facts of each model by field, and the sources by key."""
    content = {
        model.name: {
            field: [{"value": fact.value, "source": fact.source.key} for fact in facts]
            for field, facts in model.facts.items()
        }
        for model in models
    }
    used = {
        fact.source.key: {"title": fact.source.title, "strength": fact.source.strength}
        for model in models
        for facts in model.facts.values()
        for fact in facts
    }
    return json.dumps({"models": content, "sources": used}, ensure_ascii=False, indent=1)


FORMATS: dict[str, Callable[[Sequence[Model]], str]] = {
    "table": as_table,
    "markdown": as_markdown,
    "csv": as_csv,
    "json": as_json,
}
