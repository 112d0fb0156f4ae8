"""Raw lines become clean lines: what the tokenizer may rely on is said at `clean_text`."""

import html
import re
import unicodedata

import regex

from xpt.corpus.html_tags import strip_tags
from xpt.invisible import (
    BLANKS,
    FILLERS_AND_SELECTORS,
    INVISIBLE,
    LATER_BLANKS,
    LATER_INVISIBLE,
    drop_strays,
)
from xpt.language import find_language

# Entities with their semicolon; without it html.unescape also eats the "&para" of "?a=1&para=2".
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
# Dropped: control characters that are no white space, zero-width and direction marks, tags, private use
# (fonts' own icons), lone surrogates (from JSON escapes) and non-characters.
_DROPPED = regex.compile(
    rf"[\0{''.join(chr(code) for code in (*INVISIBLE, *LATER_INVISIBLE) if not chr(code).isspace())}"
    r"\p{Co}\p{Cs}\p{Cn}]"
)
# Blanks that Python does not count as white space.
_BLANK = re.compile(f"[{''.join(chr(code) for code in (*BLANKS, *LATER_BLANKS) if not chr(code).isspace())}]")
_JOINER = re.compile("[\u200c\u200d]")
# A joiner works after an emoji (or its variation or skin tone) and inside Arabic, Syriac and Indic words.
_WORKING_JOINER = regex.compile(
    r"(?<=[\p{Extended_Pictographic}\ufe0f\U0001f3fb-\U0001f3ff\u0600-\u109f\u1780-\u17ff])[\u200c\u200d]"
    r"(?=[\p{Extended_Pictographic}\u0600-\u109f\u1780-\u17ff])"
)
# Of what is looked for above, the characters that `str.isprintable` lets pass.
_PRINTABLE_ODDITY = re.compile(rf"{_BLANK.pattern[:-1]}{FILLERS_AND_SELECTORS}\u034f\ufffc]")

# Bullets at the head of a line; a dash only with a space behind it, since "-5" is a number.
_BULLETS = re.compile(r"(?:[■□▪▫●○◆◇△▲▽▼▶▷►▒•◦※☞❍‣⁃*]\s*|[-–—·ㆍ]\s+)+")
# Korean web text went through encodings that turned the middle dot into a full-width question mark: "시？도".
_LOST_MIDDLE_DOT = re.compile(r"(?<=[가-힣0-9」])？(?=[가-힣0-9「])")
# It is a question's mark behind these words, and may be one behind these endings (which nouns have as well);
# elsewhere it shows the damage.
_ASKS = re.compile(
    r"(?:[까냐죠]|[는은던]가|[나가까]요|(?:것|무엇|누구|어디|언제|얼마)인가|무엇|누구|어디|언제|얼마|정말|진짜)$"
)
_ENDING_IN_N = "".join(map(chr, range(0xAC04, 0xD7A4, 28)))
_MAY_ASK = re.compile(
    rf"(?:(?<=[가-힣])[나니다네데게걸래랴어아은는]|[{_ENDING_IN_N}]가|[하이되있없겠었았였했렇같떻좋니르됐갔왔]지"
    r"|[어아해에예세지네데군는걸래줘돼]요|[라다냐자]고|[뭐이]라|[이거뭐]야|[시하이]오|(?<![가-힣])[왜뭐해응])$"
)

_BROKEN = "\ufffd"

# In the place of a formula (WikiExtractor writes the same) or a template; particles stand right beside it.
_HOLE = re.compile(r"(formula|codice|template)_\d")

_ANY_LETTER = r"\p{L}\p{M}"


def clean_text(text: str) -> str:
    """One line of text, cleaned; "" if nothing is left.

    What comes out is NFC, without leading, trailing, double or other white space than single spaces (U+0020),
    without control, zero-width or private characters (a joiner stays inside emoji and Indic or Arabic words),
    without `<s>`-like special tokens, HTML entities and tags, or bullets at its head. Cleaning it again
    changes nothing.
    """
    while True:
        cleaned = _clean_once(text)
        if cleaned == text:
            return cleaned
        text = cleaned  # "&amp;lt;" holds another entity, and what was between two removed things may join


def _clean_once(text: str) -> str:
    if "&" in text:
        text = _ENTITY.sub(lambda match: html.unescape(match[0]), text)
    if "<" in text:
        text = strip_tags(text)
    text = " ".join(text.split())
    if not text.isascii():
        if not text.isprintable() or _PRINTABLE_ODDITY.search(text):
            text = _without_odd_characters(text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    elif not text.isprintable():
        text = _DROPPED.sub("", text)
    return text[bullets.end() :] if (bullets := _BULLETS.match(text)) else text


def _without_odd_characters(text: str) -> str:
    text = drop_strays(_BLANK.sub(" ", _DROPPED.sub("", text)))
    working = {match.start() for match in _WORKING_JOINER.finditer(text)}
    text = _JOINER.sub(lambda match: match[0] if match.start() in working else "", text)
    return " ".join(text.split())


def is_korean(language: str) -> bool:
    """Whether a language code (ko, ko-KR, ...) means Korean."""
    return find_language(language).code == "ko"


def repair_korean(text: str) -> str:
    """Korean text with its middle dots back where an encoding left full-width question marks.

    A line is repaired if one of its marks stands where no question ends; then in its doubtful places too.
    """
    if "？" not in text:
        return text
    lost = [match.start() for match in _LOST_MIDDLE_DOT.finditer(text)]
    lost = [place for place in lost if not _ASKS.search(text, max(0, place - 5), place)]
    if all(_MAY_ASK.search(text, max(0, place - 5), place) for place in lost):
        return text
    characters = list(text)
    for place in lost:
        characters[place] = "·"
    return "".join(characters)


class SentenceFilter:
    """Says why a clean sentence is dropped."""

    def __init__(self, language: str, min_characters: int, max_characters: int, min_script_share: float):
        scripts = "".join(rf"\p{{Script={name}}}" for name in find_language(language).scripts)
        self._foreign = regex.compile(rf"[^{scripts or _ANY_LETTER}]+")
        self._min_characters, self._max_characters = min_characters, max_characters
        self._min_script_share = min_script_share

    def reason_to_drop(self, sentence: str) -> str | None:
        """None to keep it, or one of short, long, broken (U+FFFD), script (too few letters).

        A sentence with a hole is dropped as formula or template, by what it was.
        """
        if len(sentence) < self._min_characters:
            return "short"
        if len(sentence) > self._max_characters:
            return "long"
        if _BROKEN in sentence:
            return "broken"
        if "_" in sentence and (hole := _HOLE.search(sentence)):
            return "template" if hole[1] == "template" else "formula"
        letters = len(self._foreign.sub("", sentence))
        if letters < self._min_script_share * (len(sentence) - sentence.count(" ")):
            return "script"
        return None
