"""Where a token stands in the text as it was given."""

import unicodedata
from collections.abc import Iterable


def surface_spans(text: str, offsets: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Character spans without the white space of the word mark, widened to whole composed characters.

    On NFC text this only strips. In decomposed text (NFD) a fast tokenizer's offset ends behind the first
    jamo of its last syllable, since a composed character keeps one source position; here it takes them all.

    Args:
        text: the text that was tokenized, as it was given.
        offsets: the tokenizer's `offset_mapping` of it.

    Returns:
        One span a token; special tokens and bare word marks have empty ones.
    """
    spans = [_surface_span(text, start, end) for start, end in offsets]
    visible = [index for index, (start, end) in enumerate(spans) if start < end]
    if len(visible) > 1:
        # A word mark without a space, that of the text's first word, has the place of the first character.
        first, second = spans[visible[0]], spans[visible[1]]
        if first[0] == second[0] and not text[: first[0]].strip():
            spans[visible[0]] = (first[0], first[0])
    return spans


def _surface_span(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end < len(text) and _joins(text[start:end], text[end]):
        end += 1
    return start, end


def _joins(left: str, char: str) -> bool:
    """Whether NFC melts the character into what stands before it."""
    compose = unicodedata.normalize
    return len(compose("NFC", left + char)) <= len(compose("NFC", left))
