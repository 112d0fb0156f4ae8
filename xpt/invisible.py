"""Characters that nobody sees: one list for the cleaner and the tokenizers, and where such a character works.

A blank looks like a space; an invisible character goes. A filler and a variation selector go too, but not
where they work: a filler in a syllable of old Hangul, a selector behind an emoji, a Han character or a
Mongolian letter. Tag characters always go: the three flags that are spelled with them become a black flag.
"""

import re

# Unicode White_Space, the Hangul filler and the blank Braille cell, which look the same, and U+2581, which is
# SentencePiece's own mark for a space.
BLANKS = (*range(0x9, 0xE), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F)
BLANKS += (0x2581, 0x2800, 0x3000, 0x3164)
# Controls, soft hyphen, zero-width characters (joiners apart), direction marks, byte-order mark.
INVISIBLE = (*range(0x1, 0x9), *range(0xE, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0x61C, 0x180E)
INVISIBLE += (0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF)
# Tokenizers that were made before these were known go on without them.
LATER_BLANKS = (0xFFA0,)  # the half-width Hangul filler
# The grapheme joiner, marks of annotations, the stand-in for an object, tags.
LATER_INVISIBLE = (0x34F, *range(0xFFF9, 0xFFFD), *range(0xE0000, 0xE0080))

# The patterns hold the characters themselves, and so mean the same to Python and to the tokenizers' Rust.
_FIRST, _MEDIAL, _LAST = (
    "\u1100-\u115e\ua960-\ua97c",
    "\u1161-\u11a7\ud7b0-\ud7c6",
    "\u11a8-\u11ff\ud7cb-\ud7fb",
)
_NO_FIRST = f"\u115f(?![{_MEDIAL}]|\u1160[{_LAST}])"
_NO_MEDIAL = f"(?<![{_FIRST}])\u1160(?![{_LAST}])"
STRAY_FILLER = f"{_NO_FIRST}|{_NO_MEDIAL}"
# Blocks of symbols rather than the exact list, which grows every year.
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_HAN = (
    "\u2e80-\u2fdf\u3005\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
STRAY_SELECTOR = (
    f"(?<![{_EMOJI}])(?!(?<=[0-9#*])\ufe0f\u20e3)[\ufe0e\ufe0f]"
    f"|(?<![{_HAN}])[\ufe00-\ufe0d\U000e0100-\U000e01ef]"
    "|(?<![\u1820-\u18aa])[\u180b-\u180d\u180f]"
)
FILLERS_AND_SELECTORS = "\u115f\u1160\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"

_STRAY_FILLER, _STRAY_SELECTOR = re.compile(STRAY_FILLER), re.compile(STRAY_SELECTOR)


def drop_strays(text: str, selector: str = "") -> str:
    """Text with a space for each filler out of place, and `selector` for each variation selector."""
    return _STRAY_FILLER.sub(" ", _STRAY_SELECTOR.sub(selector, text))
