"""What a file's first bytes show that its name does not say: rows of JSON or of a table.

A guess is made only where it is certain; where it is not, a remark says what the text looks like.
"""

import codecs
import io
import json
import re
from typing import BinaryIO

HEAD_BYTES = 1 << 18
_LINES = 20
_OBJECT = re.compile(rb'\{\s*"(?:[^"\\]|\\.)*+"\s*:')
_LIST = re.compile(rb"\[\s*\{")


class _Rewound(io.RawIOBase):
    """A stream whose head has been read, from its start."""

    def __init__(self, head: bytes, rest: BinaryIO):
        self._head, self._rest = io.BytesIO(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[override]
        return self._head.readinto(buffer) or self._rest.readinto(buffer)  # type: ignore[attr-defined]


def read_head(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first HEAD_BYTES, and a stream that gives all from the start."""
    head = stream.read(HEAD_BYTES)
    return head, io.BufferedReader(_Rewound(head, stream), 1 << 20)


def first_object(head: bytes) -> dict | None:
    """The first line where that is a JSON object; {} where it is one that goes on behind the head."""
    start = _start(head)
    if not start.startswith(b"{"):
        return None
    line, end, _ = start.partition(b"\n")
    if not end and len(head) == HEAD_BYTES:
        return {} if _OBJECT.match(line) else None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def begins_like_json(head: bytes) -> bool:
    """Whether a list of objects begins, or an object that goes on over many lines."""
    start = _start(head)
    return bool(_OBJECT.match(start) or _LIST.match(start))


def _start(head: bytes) -> bytes:
    return head.removeprefix(codecs.BOM_UTF8).lstrip()


def table_header(head: bytes) -> list[str] | None:
    """The first line's cells where the first lines have as many tabs, all cells of the first being named.

    Two lines at least, since any line is as wide as itself.
    """
    lines = head.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").split("\n")
    if len(head) == HEAD_BYTES:
        lines.pop()  # cut in two
    rows = [line.rstrip("\r").split("\t") for line in lines if line.strip()][:_LINES]
    header = rows[0] if rows else []
    named = len(header) > 1 and all(cell.strip() for cell in header) and len(set(header)) == len(header)
    return header if named and len(rows) > 1 and {*map(len, rows)} == {len(header)} else None
