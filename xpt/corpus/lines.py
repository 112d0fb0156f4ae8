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
        held.append(text)
        size += len(text)
        if size > LONGEST_ROW:
            raise XPTError(
                f"{source.name} line {number} has more than {LONGEST_ROW:,} characters: write one document "
                "a row"
            )
        if text.endswith("\n"):
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def _decoded(source: FileSource, stream: BinaryIO) -> Iterator[tuple[int, str]]:
    """Line numbers with lines, long ones in several parts; without the mark of UTF-8 at the file's head."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, offset = 1, 0
    pending = 0
    while raw := stream.readline(_READ_AT_ONCE):
        if raw.count(0) * 4 > len(raw) or (number == 1 and raw.startswith(_UTF_16_MARKS)):
            raise XPTError(
                f"{source.name} line {number} is not UTF-8 but looks like UTF-16 or binary data: "
                "convert the file, for example with iconv -f utf-16 -t utf-8"
            )
        is_whole = raw.endswith(b"\n")
        try:
            # The decoder is for what was cut, and slow.
            text = raw.decode() if is_whole and not pending else decoder.decode(raw)
        except UnicodeDecodeError as error:
            raise _not_utf8(source, number, offset - pending, error) from error
        if number == 1 and offset == 0:
            text = text.removeprefix("\ufeff")
        yield number, text
        if is_whole:
            number, offset, pending = number + 1, 0, 0
        else:
            offset, pending = offset + len(raw), len(decoder.getstate()[0])
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(source, number, offset - pending, error) from error


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


def _not_utf8(source: FileSource, line: int, offset: int, error: UnicodeDecodeError) -> XPTError:
    return XPTError(
        f"{source.name} line {line}, byte {offset + error.start + 1} is not UTF-8 "
        f"(0x{error.object[error.start]:02x}): convert the file, for example with iconv -f cp949 -t utf-8"
    )
