"""Bytes become lines of text: UTF-8 or a named refusal, and never more of a line at once than memory bears.

The cost of cleaning a line may grow faster than the line, so what is cleaned at once is bounded here.
"""

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from xpt.corpus.guesses import read_head
from xpt.corpus.inputs import FileSource
from xpt.errors import XPTError

LONGEST_PIECE = 1 << 15  # characters; some 500 sentences
LONGEST_ROW = 1 << 26  # characters of a table's row, which can only be read whole
_READ_AT_ONCE = 1 << 18  # bytes
_SENTENCE_ENDS = (". ", "! ", "? ", "… ", "。", "！", "？", "। ", "។ ", "። ", "۔ ", "؟ ")
_LINE_END = re.compile(rb"\n|\r\n|\r(?=[^\n])")
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def cut_long(line: str) -> list[str]:
    """The line in pieces of at most LONGEST_PIECE characters; joined they are the line.

    Cut behind the last sentence end of a piece, or its last space, or anywhere where it has none.
    """
    if len(line) <= LONGEST_PIECE:
        return [line]
    pieces, start = [], 0
    while len(line) - start > LONGEST_PIECE:
        window = line[start : start + LONGEST_PIECE]
        end = max(window.rfind(mark) + len(mark) if mark in window else 0 for mark in _SENTENCE_ENDS)
        end = end or window.rfind(" ") + 1 or LONGEST_PIECE
        pieces.append(window[:end])
        start += end
    return [*pieces, line[start:]]


def text_lines(source: FileSource, stream: BinaryIO) -> Iterator[str]:
    """Lines with their line end, those of more than LONGEST_PIECE characters in pieces.

    They end where `str.splitlines` ends them, as in the cells of a table: at LF, CR, FF, VT, NEL, U+2028, ...
    Raises XPTError with file, line and byte for what is not UTF-8.
    """
    held = ""
    for _, text in _decoded(source, stream):
        lines = (held + text).splitlines(keepends=True)
        # The last one may go on, and its CR be half of a CRLF.
        held = lines.pop() if lines and not text.endswith("\n") else ""
        for line in lines:
            if len(line) <= LONGEST_PIECE:
                yield line
            else:
                yield from cut_long(line)
        *whole, held = cut_long(held)
        yield from whole
    if held:
        yield held


def row_lines(source: FileSource, stream: BinaryIO) -> Iterator[str]:
    """Whole lines with their line end: LF, or CR in a file whose first line ends so.

    Raises XPTError as `text_lines`, and for more than LONGEST_ROW.
    """
    held: list[str] = []
    size = 0
    for number, text in _decoded(source, _with_line_feeds(stream)):
        *ended, last = text.split("\n")
        for place, line in enumerate(ended, number):
            _check_row(source, place, size + len(line))
            yield f"{''.join(held)}{line}\n" if held else f"{line}\n"
            held, size = [], 0
        if last:
            held.append(last)
            size += len(last)
            _check_row(source, number + len(ended), size)
    if held:
        yield "".join(held)


def _check_row(source: FileSource, number: int, size: int) -> None:
    if size > LONGEST_ROW:
        raise XPTError(
            f"{source.name} line {number} has more than {LONGEST_ROW:,} characters: write one document a row"
        )


def _decoded(source: FileSource, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Parts of the text, each with the number of the line that it begins in.

    They are cut anywhere, and without the mark of UTF-8 at the file's head.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, offset = 1, 0  # line of the next byte, and its place in there
    is_first = True
    while True:
        raw = stream.read(_READ_AT_ONCE)
        _check_text(source, number, raw, is_first)
        cut = len(decoder.getstate()[0])  # bytes of a character whose end is in this part
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            raise _not_utf8(source, number, offset - cut, error) from error
        if not raw:
            return
        yield number, text.removeprefix("\ufeff") if is_first else text
        ends, is_first = raw.count(b"\n"), False
        number, offset = number + ends, len(raw) - raw.rfind(b"\n") - 1 if ends else offset + len(raw)


def _check_text(source: FileSource, number: int, raw: bytes, is_first: bool) -> None:
    lines = raw.split(b"\n") if 0 in raw else []
    wide = (place for place, line in enumerate(lines, number) if line.count(0) * 4 > len(line) + 1)
    place = number if is_first and raw.startswith(_UTF_16_MARKS) else next(wide, None)
    if place is not None:
        raise XPTError(
            f"{source.name} line {place} is not UTF-8 but looks like UTF-16 or binary data: "
            "convert the file, for example with iconv -f utf-16 -t utf-8"
        )


class _LineFeeds(io.RawIOBase):
    """A stream with LF for each CR."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def _with_line_feeds(stream: BinaryIO) -> BinaryIO:
    """The stream, with LF for CR if its first line ends in CR alone, as rows of an old Mac do."""
    head, stream = read_head(stream)
    end = _LINE_END.search(head)
    return io.BufferedReader(_LineFeeds(stream), _READ_AT_ONCE) if end and end[0] == b"\r" else stream


def _not_utf8(source: FileSource, number: int, offset: int, error: UnicodeDecodeError) -> XPTError:
    """Where it is: the bytes that could not be decoded begin at `offset` in line `number`."""
    before = error.object[: error.start]
    byte = error.start - before.rfind(b"\n") if b"\n" in before else offset + error.start + 1
    return XPTError(
        f"{source.name} line {number + before.count(10)}, byte {byte} is not UTF-8 "
        f"(0x{error.object[error.start]:02x}): convert the file, for example with iconv -f cp949 -t utf-8"
    )
