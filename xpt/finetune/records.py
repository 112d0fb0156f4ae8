"""Fields of records, checked as they are taken; and tables, whose rows become records by their header."""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from xpt.finetune.task import Record
from xpt.program.errors import XPTError

HALF = re.compile("[\ud800-\udfff]")  # of a character beyond the first plane; no tokenizer takes it


def take(record: Record, field: str, kind: type | tuple[type, ...] = str, within: Any = None) -> Any:
    """A field of a record (or of the object `within` it). Raises `XPTError` where it is absent or of another
    kind; a truth value is no number."""
    holder = record.value if within is None else within
    if not isinstance(holder, Mapping) or field not in holder:
        raise record.wrong(f"has no field {field!r}")
    value = holder[field]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise record.wrong(f"the field {field!r} is {value!r:.60}")
    if isinstance(value, str) and HALF.search(value):
        raise record.wrong(f"the field {field!r} holds half a character")
    return value


def take_label(record: Record, value: Any, labels: tuple[str, ...]) -> str:
    """`value` if it is one of `labels`. Raises `XPTError` else."""
    if value not in labels:
        raise record.wrong(f"unknown label {value!r:.60}")
    return value


def table_records(text: str, file: str, columns: Collection[str]) -> Iterator[Record]:
    """The rows of a table of tabs and a header as records of its `columns`, in whatever order it has them.

    Nothing is quoted: a quotation mark is a character. Other columns are left out. Raises `XPTError` with the
    line for a column that is missing, or a row of another width.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            raise XPTError(
                f"{file} line 1: has no column {missing[0]!r}; is it the official file of this task?"
            )
        for row in filter(None, reader):
            if len(row) != len(header):
                raise XPTError(f"{file} line {reader.line_num}: {len(row)} columns instead of {len(header)}")
            cells = dict(zip(header, row, strict=True))
            place = f"{file} line {reader.line_num}"
            yield Record({name: cells[name] for name in columns}, place)
    except csv.Error as error:
        raise XPTError(f"{file} line {reader.line_num}: {error}; get the file again") from error
