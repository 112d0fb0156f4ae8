"""A document: lines of text that belong together, of whatever format it was read from."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from xpt.corpus.folders import printable
from xpt.corpus.lines import cut_long
from xpt.errors import XPTError

DEFAULT_COLUMN = "text"
# A document is handed on in parts of so many lines or characters: a file without blank lines is not held
# whole.
_LINES_AT_ONCE = 1000
_CHARACTERS_AT_ONCE = 1 << 19
_COLUMNS_SHOWN = 20


@dataclass
class Document:
    """Lines of text that belong together; `continued` if the next holds more lines of the same document."""

    lines: list[str]
    is_wiki: bool = False
    continued: bool = False
    entry: int = 0  # which of the inputs named by the user it comes from
    remark: str | None = None  # on the file that it begins: what the user should look at


class Block:
    """Lines of a document that is not whole yet."""

    def __init__(self, is_wiki: bool = False):
        self._lines: list[str] = []
        self._characters = 0
        self._is_wiki = is_wiki

    def append(self, line: str) -> Iterator[Document]:
        """Add a line; where that is more than should be held, yield what was there before."""
        full = len(self._lines) == _LINES_AT_ONCE or self._characters > _CHARACTERS_AT_ONCE
        if full:
            yield self.take(continued=True)
        self._lines.append(line)
        self._characters += len(line)

    def take(self, continued: bool = False) -> Document:
        """The lines so far, as a document or a part of one; nothing is left."""
        document = Document(self._lines, self._is_wiki, continued)
        self._lines, self._characters = [], 0
        return document


def choose_column(name: str, column: str | None, columns: Iterable[str]) -> str:
    """The text column to read. Raises XPTError naming the columns there are."""
    wanted, columns = column or DEFAULT_COLUMN, list(columns)
    if wanted not in columns:
        raise XPTError(f"{name} has no column {wanted}: set column to one of {show_columns(columns)}")
    return wanted


def show_columns(columns: list[str]) -> str:
    """Names of columns for a message."""
    shown = [printable(str(column))[:40] for column in columns[:_COLUMNS_SHOWN]]
    more = f" or {len(columns) - len(shown)} more" if len(columns) > len(shown) else ""
    return ", ".join(shown) + more


def document_lines(text: str) -> list[str]:
    """The lines of a text, long ones in pieces, without their ends."""
    return [piece for line in text.splitlines() for piece in cut_long(line)]


def row_document(text: object, name: str) -> Iterator[Document]:
    """The document of one table cell; none where it is null. Raises XPTError for what is not text."""
    if isinstance(text, str):
        yield Document(document_lines(text))
    elif text is not None:
        raise XPTError(f"{name} holds {type(text).__name__}, not text: set column to one that holds text")


def column_documents(values: pa.Array | pa.ChunkedArray, name: str) -> Iterator[Document]:
    """The documents of an Arrow column. Raises XPTError for what is not text."""
    for text in values.to_pylist():
        yield from row_document(text, name)
