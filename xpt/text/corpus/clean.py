"""Raw lines become clean lines: what the tokenizer may rely on is said at `clean_text`."""

import html
import re
import unicodedata

import regex

from xpt.text.language import find_language

# Entities with their semicolon; without it html.unescape also eats the "&para" of "?a=1&para=2".
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_TAG = re.compile(
    r"</?(?:br|p|div|span|ref|references|sup|sub|small|big|b|i|u|s|em|strong|font|center|nowiki|gallery|table|tr|td"
    r"|th|ul|ol|li|math|blockquote|code|pre|tt|poem|a|img|includeonly|noinclude|onlyinclude|h[1-6])(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
# Special tokens of our tokenizers spelled out in the text would become the tokens themselves.
_SPECIAL_TOKEN = re.compile(r"</?s>|<(?:pad|unk|mask)>")

# Dropped: control characters that are no white space, zero-width and direction marks, private use (fonts' own
# icons), lone surrogates (from JSON escapes) and non-characters. Zero-width joiners are looked at one by one.
_INVISIBLE = regex.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\p{Co}\p{Cs}\p{Cn}]"
)
# Blanks that Python does not count as white space, and the mark SentencePiece writes for a space.
_BLANK = re.compile("[\u3164\u2800\u2581]")
_JOINER = re.compile("[\u200c\u200d]")
# A joiner works after an emoji (or its variation or skin tone) and inside Arabic, Syriac and Indic words.
_WORKING_JOINER = regex.compile(
    r"(?<=[\p{Extended_Pictographic}\ufe0f\U0001f3fb-\U0001f3ff\u0600-\u109f\u1780-\u17ff])[\u200c\u200d]"
    r"(?=[\p{Extended_Pictographic}\u0600-\u109f\u1780-\u17ff])"
)
_UNUSUAL = regex.compile(rf"{_INVISIBLE.pattern}|{_BLANK.pattern}|{_JOINER.pattern}")

# Bullets at the head of a line; a dash only with a space behind it, since "-5" is a number.
_BULLETS = re.compile(r"(?:[■□▪▫●○◆◇△▲▽▼▶▷►▒•◦※☞❍‣⁃*]\s*|[-–—·ㆍ]\s+)+")
# Korean web text went through encodings that turned the middle dot into a full-width question mark: "시？도".
_LOST_MIDDLE_DOT = re.compile(r"(?<=[가-힣0-9」])？(?=[가-힣0-9「])")

_BROKEN = "\ufffd"

_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)*([^\[\]|]*)\]\]")
_WIKI_FILE = re.compile(
    r"\[\[(?:파일|그림|분류|File|Image|Category|Файл|Категорія):[^\[\]]*\]\]", re.IGNORECASE
)
_WIKI_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_WIKI_REST = re.compile(r"\[\[|\]\]|\{\{|\}\}|'{2,}|__[A-Z]{3,}__")
_TABLE_LINE = re.compile(
    r"\s*(?:\{\||\|[-+}|]|\|\s|!\s|[|!]\s*(?:style|width|align|colspan|rowspan)\s*=|\|.*\|\|)"
)
# Templates for foreign scripts leave "(, , )", "(, 1929" and "1616, )" behind.
_EMPTY_BRACKETS = re.compile(
    r"\s*(?:\([\s,;:·、/~–—-]*\)|\[[\s,;:·、]*\]|（[\s,;:·、]*）|『\s*』|「\s*」|《\s*》|〈\s*〉)"
)
_LEADING_COMMA = re.compile(r"([(\[（])(?:\s*[,;:、])+\s*")
_TRAILING_COMMA = re.compile(r"(?:\s*[,;:、])+\s*([)\]）])")
_DOUBLE_COMMA = re.compile(r"([,;、])(?:\s*[,;、])+")
_SPACE_BEFORE_MARK = re.compile(r"(?<=[^\s.,;:!?])\s+(?=[.,](?:\s|$))")
_REFERENCE = re.compile(r"\[\d{1,3}\]")
_FORMULA = re.compile(r"\b(?:formula|codice)_\d+")

# A Wikipedia line below this length that ends no sentence is a section heading. In scripts that say more in a
# character the limit is lower; in alphabets not higher, since there it drops short sentences too.
_HEADING_CHARACTERS = 30
# A Korean sentence ends in its verb. Bare 요, 자, 임 and 음 end nouns as well: 개요, 후보자, 게임, 발음.
_KOREAN_ENDING = re.compile(
    r"\S\s+\S.*(?:다|까|죠|시오|(?:어|아|해|에|예|세|지|네|데|군|나|까|걸|는|되|줘|돼)요)[.!?…]*[\"'”’)\]]*[.!?…]*\s*$"
)

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
        text = _SPECIAL_TOKEN.sub(" ", _TAG.sub(" ", text))
    if not text.isascii() and _UNUSUAL.search(text):
        text = _BLANK.sub(" ", _INVISIBLE.sub("", text))
        working = {match.start() for match in _WORKING_JOINER.finditer(text)}
        text = _JOINER.sub(lambda match: match[0] if match.start() in working else "", text)
    elif not text.isprintable():
        text = _INVISIBLE.sub("", text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = " ".join(text.split())
    return text[bullets.end() :] if (bullets := _BULLETS.match(text)) else text


def is_korean(language: str) -> bool:
    """Whether a language code (ko, ko-KR, ...) means Korean."""
    return find_language(language).code == "ko"


def repair_korean(text: str) -> str:
    """Korean text with its middle dots back where an encoding left full-width question marks."""
    return _LOST_MIDDLE_DOT.sub("·", text) if "？" in text else text


def clean_wiki_markup(text: str) -> str:
    """A line of Wikipedia text without what extraction left of links, templates and foreign scripts."""
    if "[[" in text or "{{" in text or "]]" in text or "}}" in text or "''" in text or "__" in text:
        text = _WIKI_TEMPLATE.sub("", _WIKI_FILE.sub("", text))
        text = _WIKI_REST.sub("", _WIKI_LINK.sub(r"\1", text))
    if (
        "(" in text
        or "[" in text
        or "「" in text
        or "『" in text
        or "《" in text
        or "（" in text
        or "〈" in text
    ):
        text = _TRAILING_COMMA.sub(r"\1", _LEADING_COMMA.sub(r"\1", text))
        text = _DOUBLE_COMMA.sub(r"\1", _EMPTY_BRACKETS.sub("", text))
        text = _REFERENCE.sub("", _SPACE_BEFORE_MARK.sub("", text))
    return text


def is_wiki_junk(text: str, language: str) -> bool:
    """Whether a cleaned Wikipedia line is a section heading or a row of a table.

    Headings are short and end no sentence. Korean shows the end of a sentence by its verb; in other languages
    every line so short is taken for a heading, since paragraphs hardly are.
    """
    if _TABLE_LINE.match(text):
        return True
    if len(text) >= _HEADING_CHARACTERS * min(1.0, find_language(language).relative_length):
        return False
    return not is_korean(language) or not _KOREAN_ENDING.search(text)


class SentenceFilter:
    """Says why a clean sentence is dropped."""

    def __init__(self, language: str, min_characters: int, max_characters: int, min_script_share: float):
        scripts = "".join(rf"\p{{Script={name}}}" for name in find_language(language).scripts)
        self._foreign = regex.compile(rf"[^{scripts or _ANY_LETTER}]+")
        self._min_characters, self._max_characters = min_characters, max_characters
        self._min_script_share = min_script_share

    def reason_to_drop(self, sentence: str) -> str | None:
        """None to keep it, or one of short, long, broken (U+FFFD), formula, script (too few letters)."""
        if len(sentence) < self._min_characters:
            return "short"
        if len(sentence) > self._max_characters:
            return "long"
        if _BROKEN in sentence:
            return "broken"
        # WikiExtractor put "formula_12" for a formula; without it the sentence is no sentence.
        if "_" in sentence and _FORMULA.search(sentence):
            return "formula"
        letters = len(self._foreign.sub("", sentence))
        if letters < self._min_script_share * (len(sentence) - sentence.count(" ")):
            return "script"
        return None
