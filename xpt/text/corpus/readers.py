"""Files become documents: one function a format, each reading its file as a stream.

A document is a `<doc>` of WikiExtractor, an article of a MediaWiki dump, a row of a table, or a block between
blank lines of a `.txt` file (the whole file where it has none).
"""

import csv
import html
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from xpt.program.errors import XPTError
from xpt.text.corpus.folders import printable
from xpt.text.corpus.lines import LONGEST_ROW, cut_long, row_lines, text_lines
from xpt.text.corpus.mediawiki import read_articles
from xpt.text.corpus.opening import open_bytes, reading
from xpt.text.corpus.sources import FileSource, HubSource, Source

DEFAULT_COLUMN = "text"
# A .txt document is handed on in parts of so many lines or characters: a file without blank lines is not held
# whole.
_LINES_AT_ONCE = 1000
_CHARACTERS_AT_ONCE = 1 << 19
_PARQUET_ROWS = 128
_COLUMNS_SHOWN = 20
# Parquet is packed inside; a packed Parquet file that grows like this on top is made to fill the disk.
_UNPACKED_FREE, _UNPACKED_TIMES = 1 << 26, 100
_DOC_TITLE = re.compile(r'<doc [^>]*?title="(.*)">')


@dataclass
class Document:
    """Lines of text that belong together; `continued` if the next holds more lines of the same document."""

    lines: list[str]
    is_wiki: bool = False
    continued: bool = False
    entry: int = 0  # which of the inputs named by the user it comes from


def read_documents(source: Source, column: str | None, bar: tqdm) -> Iterator[Document]:
    """Stream the documents of one input; `bar` advances by the bytes read.

    Raises XPTError naming the file and, where there is one, the line: damaged archives, bytes that are not
    UTF-8, malformed rows, a missing column.
    """
    if isinstance(source, HubSource):
        from xpt.text.corpus.hub import read_dataset

        yield from read_dataset(source, column, bar)
        return
    with reading(source), open_bytes(source, bar.update) as stream:
        match source.format:
            case ".txt":
                yield from _read_text(text_lines(source, stream))
            case ".jsonl":
                yield from _read_jsonl(source, stream, column)
            case ".tsv":
                yield from _read_tsv(source, stream, column)
            case ".csv":
                yield from _read_csv(source, stream, column)
            case ".parquet":
                yield from _read_parquet(source, stream, column)
            case ".xml":
                for article in read_articles(source, stream):
                    yield Document(_lines(article), is_wiki=True)


def choose_column(name: str, column: str | None, columns: Iterable[str]) -> str:
    """The text column to read. Raises XPTError naming the columns there are."""
    wanted, columns = column or DEFAULT_COLUMN, list(columns)
    if wanted not in columns:
        shown = [printable(str(column))[:40] for column in columns[:_COLUMNS_SHOWN]]
        more = f" or {len(columns) - len(shown)} more" if len(columns) > len(shown) else ""
        raise XPTError(f"{name} has no column {wanted}: set column to one of {', '.join(shown)}{more}")
    return wanted


def _read_text(lines: Iterator[str]) -> Iterator[Document]:
    first = next((line for line in lines if line.strip()), "")
    reader = _read_wiki if first.startswith("<doc ") else _read_blocks
    yield from reader(chain([first], lines))


class _Block:
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


def _read_blocks(lines: Iterable[str]) -> Iterator[Document]:
    block = _Block()
    for line in lines:
        if line.strip():
            yield from block.append(line)
        else:
            yield block.take()
    yield block.take()


def _read_wiki(lines: Iterable[str]) -> Iterator[Document]:
    block = _Block(is_wiki=True)
    title: str | None = None
    for line in lines:
        if line.startswith("<doc "):
            match = _DOC_TITLE.match(line)
            title = html.unescape(match[1]).strip() if match else None
            yield block.take()  # of a file whose end of document is missing
        elif line.startswith("</doc>"):
            yield block.take()
        elif title is not None and line.strip():
            # The first line of the body repeats the title.
            if html.unescape(line).strip() != title:
                yield from block.append(line)
            title = None
        else:
            yield from block.append(line)
    yield block.take()


def _read_jsonl(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    for number, line in enumerate(row_lines(source, stream), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise XPTError(f"{source.name} line {number} is not JSON: {printable(str(error))}") from error
        if not isinstance(row, dict):
            raise XPTError(f"{source.name} line {number} is not a JSON object: give one object a line")
        text = row[choose_column(f"{source.name} line {number}", column, row)]
        yield from row_document(text, f"{source.name} line {number}")


def _lines(text: str) -> list[str]:
    return [piece for line in text.splitlines() for piece in cut_long(line)]


def row_document(text: object, name: str) -> Iterator[Document]:
    """The document of one table cell; none where it is null. Raises XPTError for what is not text."""
    if isinstance(text, str):
        yield Document(_lines(text))
    elif text is not None:
        raise XPTError(f"{name} holds {type(text).__name__}, not text: set column to one that holds text")


def _read_tsv(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    # Tab-separated values as IANA registers them: quotes are ordinary characters, so no csv module.
    rows = (line.rstrip("\r\n").split("\t") for line in row_lines(source, stream))
    yield from _read_rows(source, enumerate(rows, 1), column)


def _read_csv(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    csv.field_size_limit(LONGEST_ROW)  # its default refuses documents over 128 KiB
    reader = csv.reader(row_lines(source, stream), strict=True)
    try:
        yield from _read_rows(source, ((reader.line_num, row) for row in reader), column)
    except csv.Error as error:
        raise XPTError(f"{source.name} line {reader.line_num} is not CSV: {printable(str(error))}") from error


def _read_rows(
    source: FileSource, rows: Iterator[tuple[int, list[str]]], column: str | None
) -> Iterator[Document]:
    header = next(rows, (0, []))[1]
    index = header.index(choose_column(source.name, column, header)) if header else 0
    for number, row in rows:
        if not any(row):
            continue
        if len(row) != len(header):
            raise XPTError(
                f"{source.name} line {number} has {len(row)} columns, its header has {len(header)}"
            )
        yield from row_document(row[index], f"{source.name} line {number}")


def _read_parquet(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    with tempfile.TemporaryFile() as plain:
        if source.path.suffix.lower() != ".parquet":
            # Parquet is read from its end, which a packed stream cannot.
            _unpack(source, stream, plain)
            stream = plain  # type: ignore[assignment]
        file = pq.ParquetFile(stream, buffer_size=1 << 20)
        name = choose_column(source.name, column, file.schema_arrow.names)
        for batch in file.iter_batches(_PARQUET_ROWS, columns=[name]):
            yield from column_documents(batch.column(0), f"{source.name} column {printable(name)}")


def _unpack(source: FileSource, stream: BinaryIO, plain: IO[bytes]) -> None:
    most = max(_UNPACKED_FREE, _UNPACKED_TIMES * source.size)
    while chunk := stream.read(1 << 20):
        if plain.tell() + len(chunk) > most:
            raise XPTError(
                f"{source.name} unpacks to more than {_UNPACKED_TIMES} times its size: unpack it yourself "
                "and name the .parquet file"
            )
        try:
            plain.write(chunk)
        except OSError as error:
            raise XPTError(
                f"{source.name} cannot be unpacked in {tempfile.gettempdir()} ({error.strerror}): unpack it "
                "yourself, or set TMPDIR to a place with room"
            ) from error


def column_documents(values: pa.Array | pa.ChunkedArray, name: str) -> Iterator[Document]:
    """The documents of an Arrow column. Raises XPTError for what is not text."""
    for text in values.to_pylist():
        yield from row_document(text, name)
