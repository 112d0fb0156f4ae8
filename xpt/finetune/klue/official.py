"""The two formats of the official release: lists of JSON objects, and blocks of lines that begin with `## `.

What passes through: a file's whole text -> its records, each with the place that an error about it names.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xpt.finetune.task import Record
from xpt.program.errors import XPTError


def json_records(text: str, file: str) -> Iterator[Record]:
    """The objects of a JSON list; an object is placed by its `guid`, or else by its number.

    Raises `XPTError` where the text is no such list.
    """
    yield from listed_records(load_json(text, file), file)


def load_json(text: str, file: str) -> Any:
    """The value of a JSON text. Raises `XPTError` with line and column."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise XPTError(
            f"{file} line {error.lineno}: not readable as JSON ({error.msg}); get the file again"
        ) from error
    except RecursionError as error:
        raise XPTError(f"{file}: not readable as JSON (nested too deeply); get the file again") from error


def listed_records(value: Any, file: str) -> Iterator[Record]:
    """The objects of a list that was read from `file`."""
    if not isinstance(value, list):
        raise XPTError(f"{file}: holds no list of examples; is it the official file of this task?")
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise XPTError(f"{file}: entry {number} is no object; is it the official file of this task?")
        yield Record(entry, f"{file}: {entry.get('guid', f'entry {number}')}")


@dataclass(frozen=True)
class Block:
    """One sentence of a .tsv file: what its header line says, and the cells of its rows.

    `line` is the number of the header in the file, counted from 1; row i stands on line `line` + 1 + i.
    """

    guid: str
    text: str
    rows: list[list[str]]
    line: int


def tsv_records(text: str, file: str, columns: int) -> Iterator[Record]:
    """The sentences of a .tsv file as records of `Block`s; the comment lines at its top are passed over.

    Rows are cut at tabs and never stripped: a blank is a character of some. Raises `XPTError` with the line
    for a row of another number of cells, or one that follows no header.
    """
    header: tuple[str, str] | None = None
    rows: list[list[str]] = []
    begin, at_top = 0, True

    def finished() -> Iterator[Record]:
        nonlocal at_top
        if header is None or (at_top and not rows):
            return
        at_top = False
        record = Record(Block(*header, rows, begin), f"{file}: {header[0]}")
        if not rows:
            raise record.wrong("has no rows")
        yield record

    lines = re.split(r"\r?\n", text.removeprefix("\ufeff"))  # not splitlines: U+2028 may be a character
    for number, line in enumerate(lines, start=1):
        if line.startswith("## "):
            yield from finished()
            guid, tab, sentence = line[3:].partition("\t")
            header, rows, begin = ((guid.strip(), sentence) if tab else None), [], number
        elif line.strip("\t") == "":
            yield from finished()
            header, rows = None, []
        else:
            cells = line.split("\t")
            if header is None:
                raise XPTError(f"{file} line {number}: a row before its sentence's `## ` line")
            if len(cells) != columns:
                raise XPTError(f"{file} line {number}: {len(cells)} columns instead of {columns}")
            rows.append(cells)
    yield from finished()
