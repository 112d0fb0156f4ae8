"""Bytes become lines of text: UTF-8 or a named refusal, and never more of a line at once than memory bears.

The cost of cleaning a line may grow faster than the line, so what is cleaned at once is bounded here.
"""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from xpt.program.errors import XPTError
from xpt.text.corpus.sources import FileSource

LONGEST_PIECE = 1 << 15  # characters; some 500 sentences
LONGEST_ROW = 1 << 26  # characters of a table's row, which can only be read whole
_READ_AT_ONCE = 1 << 18  # bytes
_SENTENCE_ENDS = (". ", "! ", "? ", "… ", "。", "！", "？", "। ", "។ ", "። ", "۔ ", "؟ ")
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

    Raises XPTError with file, line and byte for what is not UTF-8.
    """
    held = ""
    for _, text in _decoded(source, stream):
        *whole, held = cut_long(held + text)
        yield from whole
        if text.endswith("\n"):
            yield held
            held = ""
    if held:
        yield held


def row_lines(source: FileSource, stream: BinaryIO) -> Iterator[str]:
    """Whole lines with their line end. Raises XPTError as `text_lines`, and for more than LONGEST_ROW."""
    held: list[str] = []
    size = 0
    for number, text in _decoded(source, stream):
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
    while raw := stream.readline(_READ_AT_ONCE):
        if raw.count(0) * 4 > len(raw) or (number == 1 and raw.startswith(_UTF_16_MARKS)):
            raise XPTError(
                f"{source.name} line {number} is not UTF-8 but looks like UTF-16 or binary data: "
                "convert the file, for example with iconv -f utf-16 -t utf-8"
            )
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(raw)
        except UnicodeDecodeError as error:
            raise _not_utf8(source, number, offset - pending, error) from error
        if number == 1 and offset == 0:
            text = text.removeprefix("\ufeff")
        yield number, text
        offset += len(raw)
        if raw.endswith(b"\n"):
            number, offset = number + 1, 0
    pending = len(decoder.getstate()[0])
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_utf8(source, number, offset - pending, error) from error


def _not_utf8(source: FileSource, line: int, offset: int, error: UnicodeDecodeError) -> XPTError:
    return XPTError(
        f"{source.name} line {line}, byte {offset + error.start + 1} is not UTF-8 "
        f"(0x{error.object[error.start]:02x}): convert the file, for example with iconv -f cp949 -t utf-8"
    )
