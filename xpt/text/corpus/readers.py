"""Files become documents: one function a format, each reading its file as a stream.

A document is a `<doc>` of WikiExtractor, an article of a MediaWiki dump, a row of a table, or a block between
blank lines of a `.txt` file (the whole file where it has none).
"""

import html
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import IO, Any, BinaryIO

import pyarrow.parquet as pq
from tqdm import tqdm

from xpt.program.errors import XPTError
from xpt.text.corpus.documents import (
    DEFAULT_COLUMN,
    Block,
    Document,
    choose_column,
    column_documents,
    document_lines,
    row_document,
    show_columns,
)
from xpt.text.corpus.folders import printable
from xpt.text.corpus.guesses import begins_like_json, first_object, read_head, table_header
from xpt.text.corpus.inputs import FileSource, HubSource, Source
from xpt.text.corpus.lines import row_lines, text_lines
from xpt.text.corpus.mediawiki import read_articles
from xpt.text.corpus.opening import open_bytes, reading
from xpt.text.corpus.tables import read_csv, read_tsv

_PARQUET_ROWS = 128
# Parquet is packed inside; a packed Parquet file that grows like this on top is made to fill the disk.
_UNPACKED_FREE, _UNPACKED_TIMES = 1 << 26, 100
_DOC_TITLE = re.compile(r'<doc [^>]*?title="(.*)">')
_ARTICLE_FIELDS = {"id", "url", "title", "text"}


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
                yield from _read_text(source, stream, column)
            case ".jsonl":
                yield from _read_jsonl(source, stream, column)
            case ".tsv":
                yield from read_tsv(source, stream, column)
            case ".csv":
                yield from read_csv(source, stream, column)
            case ".parquet":
                yield from _read_parquet(source, stream, column)
            case ".xml":
                for article in read_articles(source, stream):
                    yield Document(document_lines(article), is_wiki=True)


def _read_text(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    """A text, or what stands in rows under the name of one."""
    head, stream = read_head(stream)
    if first_object(head) is not None:
        yield from _read_jsonl(source, stream, column)
        return
    header = table_header(head)
    if header and (column or DEFAULT_COLUMN) in header:
        yield from read_tsv(source, stream, column)
        return
    if header:
        yield _looks_like(source, "a table", f"set column to one of {show_columns(header)}")
    elif begins_like_json(head):
        yield _looks_like(source, "JSON", "write one object a line, as .jsonl")
    lines = text_lines(source, stream)
    first = next((line for line in lines if line.strip()), "")
    reader = _read_wiki if first.startswith("<doc ") else _read_blocks
    yield from reader(chain([first], lines))


def _looks_like(source: FileSource, kind: str, way_out: str) -> Document:
    return Document([], remark=f"{source.name} looks like {kind}, but is read as text: {way_out}")


def _read_blocks(lines: Iterable[str]) -> Iterator[Document]:
    block = Block()
    for line in lines:
        if line.strip():
            yield from block.append(line)
        else:
            yield block.take()
    yield block.take()


def _read_wiki(lines: Iterable[str]) -> Iterator[Document]:
    block = Block(is_wiki=True)
    title: str | None = None
    for line in lines:
        if line.startswith("<doc "):
            match = _DOC_TITLE.match(line)
            title = match[1] if match else None
            yield block.take()  # of a file whose end of document is missing
        elif line.startswith("</doc>"):
            yield block.take()
        elif title is not None and line.strip():
            # The first line of the body repeats the title.
            if not _is_title(line, title):
                yield from block.append(line)
            title = None
        else:
            yield from block.append(line)
    yield block.take()


def _is_title(line: str, title: str) -> bool:
    return html.unescape(line).strip() == html.unescape(title).strip()


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
        for document in row_document(text, f"{source.name} line {number}"):
            yield _as_article(document, row) if _is_article(row) else document


def _is_article(row: dict[str, Any]) -> bool:
    """Whether it is a row as `WikiExtractor --json` writes it: wiki text, like that of its `<doc>`s."""
    return row.keys() >= _ARTICLE_FIELDS and "wiki" in str(row["url"]).lower()


def _as_article(document: Document, row: dict[str, Any]) -> Document:
    lines = document.lines
    first = next((place for place, line in enumerate(lines) if line.strip()), None)
    if first is not None and _is_title(lines[first], str(row["title"])):
        lines = lines[first + 1 :]
    return Document(lines, is_wiki=True)


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
                "yourself, or set TMPDIR to a place with space"
            ) from error
