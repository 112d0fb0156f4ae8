"""Rows of .csv and .tsv files become documents.

In tab-separated values as IANA registers them quotes are ordinary characters; pandas, R and spreadsheets
write such files with the quoting of CSV. Which of the two a file has, its own quotes tell.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO

from xpt.corpus.documents import Document, choose_column, row_document
from xpt.corpus.folders import printable
from xpt.corpus.inputs import FileSource
from xpt.corpus.lines import LONGEST_ROW, row_lines
from xpt.errors import XPTError

# Characters of rows, from the first one with a quote on, by which quoting is judged.
_JUDGED = 1 << 20
_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')

Row = tuple[int, list[str]]  # the number of its last line, its cells


def read_csv(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    """Stream the documents of a column of comma-separated values, with the quotes of RFC 4180."""
    yield from _documents(source, _quoted_rows(source, row_lines(source, stream), ","), column)


def read_tsv(source: FileSource, stream: BinaryIO, column: str | None) -> Iterator[Document]:
    """Stream the documents of a column of tab-separated values, with quotes as the file itself uses them.

    Where that is not certain they are text, and a remark says so at the end.
    """
    remarks: list[str] = []
    yield from _documents(source, _tab_rows(source, row_lines(source, stream), remarks), column)
    yield from (Document([], remark=remark) for remark in remarks)


def _documents(source: FileSource, rows: Iterator[Row], column: str | None) -> Iterator[Document]:
    header = next(rows, (0, []))[1]
    index = header.index(choose_column(source.name, column, header)) if header else 0
    for number, row in rows:
        if not any(row):
            continue
        if len(row) != len(header):
            raise XPTError(
                f"{source.name} line {number} has {len(row)} columns, its header has {len(header)}: write it "
                "as .jsonl, if a text holds line breaks or the separator"
            )
        yield from row_document(row[index], f"{source.name} line {number}")


def _quoted_rows(
    source: FileSource, lines: Iterable[str], separator: str, lines_before: int = 0
) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_ROW)  # its default refuses documents over 128 KiB
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        yield from ((lines_before + reader.line_num, row) for row in reader)
    except csv.Error as error:
        kind = "CSV" if separator == "," else "TSV with quotes as its first ones show them"
        raise XPTError(
            f"{source.name} line {lines_before + reader.line_num} is not {kind}: {printable(str(error))}"
        ) from error


def _tab_rows(source: FileSource, lines: Iterator[str], remarks: list[str]) -> Iterator[Row]:
    number = width = 0
    for line in lines:
        if '"' in line:
            break
        # Without a quote a row means the same either way.
        number, cells = number + 1, _cells(line)
        width = width or len(cells)
        yield number, cells
    else:
        return
    judged = _take(chain([line], lines), _JUDGED)
    certain, possible, text = _judge(judged, width)
    lines = chain(judged, lines)
    if certain and not text:
        yield from _quoted_rows(source, lines, "\t", number)
        return
    if certain or (possible and not text):
        remarks.append(
            f"{source.name} has cells in quotes from line {number + 1} on, as pandas and spreadsheets write "
            "them, but they may be text, and are read as text: if they are not, write it as .csv or .jsonl"
        )
    yield from ((place, _cells(line)) for place, line in enumerate(lines, number + 1))


def _cells(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _take(lines: Iterator[str], characters: int) -> list[str]:
    """Lines up to so many characters, the last one whole."""
    taken = []
    for line in lines:
        taken.append(line)
        characters -= len(line)
        if characters < 0:
            break
    return taken


def _judge(lines: list[str], width: int) -> tuple[int, int, int]:
    """How many rows are surely quoted, how many may be, and how many have quotes that are text.

    A writer puts a cell in quotes as a whole and doubles those inside; readers of raw text would refuse
    the row where a cell holds a tab or a line break. `width`: cells of a row; 0 if the header comes first.
    """
    certain = possible = text = place = 0
    if not width:
        header = _cells(lines[0])
        width = len(header)
        certain = int(all(map(_QUOTED.fullmatch, header)))
    while place < len(lines):
        cells, spanned = _cells(lines[place]), 1
        quoted = [_QUOTED.fullmatch(cell) for cell in cells if '"' in cell]
        if quoted and (len(cells) != width or not all(quoted)):
            spanned, sure = _span(lines, place, width)
            certain, possible = certain + (spanned > 0 and sure), possible + (spanned > 0 and not sure)
            text += not spanned
        elif quoted:
            needed = any(match and ('"' in match[1] or "\r" in match[1]) for match in quoted)
            certain, possible = certain + needed, possible + (not needed)
        place += max(1, spanned)
    return certain, possible, text


def _span(lines: list[str], place: int, width: int) -> tuple[int, bool]:
    """How many lines the row at `place` takes if its quotes hold tabs or line ends, 0 if they cannot.

    With it, whether raw text cannot be meant, since its cells would be too many or too few.
    """
    reader = csv.reader((lines[index] for index in range(place, len(lines))), delimiter="\t", strict=True)
    try:
        cells = next(reader)
    except csv.Error:
        return 0, False
    widths = {len(_cells(line)) for line in lines[place : place + reader.line_num]}
    fits_raw = widths == {width}
    if len(cells) != width or (fits_raw and reader.line_num == 1):
        return 0, False
    return reader.line_num, not fits_raw
