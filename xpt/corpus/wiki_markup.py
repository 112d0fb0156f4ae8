"""Lines of Wikipedia lose what extraction left of the markup, and are told from headings and tables."""

import re

from xpt.corpus.clean import is_korean
from xpt.corpus.templates import MARK, settle_marks, template_text
from xpt.language import find_language

_WIKI_LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)*([^\[\]|]*)\]\]")
_WIKI_FILE = re.compile(
    r"\[\[(?:파일|그림|분류|File|Image|Category|Файл|Категорія):[^\[\]]*\]\]", re.IGNORECASE
)
_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_PARAMETER = re.compile(r"\{\{\{[^{}]*\}\}\}")
# What is cut off: the head of a box that is closed here, and the tail of one that is never closed.
_CUT_HEAD = re.compile(r"^[^{}]*\|[^{}|]*=[^{}]*\}\}")
_CUT_TAIL = re.compile(r"\{\{.*$")
_WIKI_REST = re.compile(r"\[\[|\]\]|\}\}|'{2,}")
# A magic word has capitals or letters of a script without them, in any case where English has none of it:
# Python's __init__ stays.
_MAGIC_WORD = re.compile(
    r"__(?:(?=(?:[a-zA-Z]|_(?!_)){0,40}[^\W\d_a-zA-Z])[^\W\d_]{2,40}(?:_[^\W\d_]{1,40}){0,3}"
    r"|[A-Z]{3,40}(?:_[A-Z]{1,40}){0,3}|(?i:(?:no|force)?toc|noeditsection|(?:no)?newsectionlink"
    r"|nogallery|hiddencat|(?:no)?index|no(?:content|title)convert|no[ct]c|staticredirect|disambig"
    r"|expectunusedcategory|noglobal|archivedtalk|notalk|start|end))__"
)
# The converter of Chinese and Serbian: flags, then the same words in several scripts.
_CONVERTED = re.compile(r"-\{(?:([A-Za-z;\s-]*)\|)?([^{}]*)\}-")
_READING = re.compile(r"\s*[a-z]{2,3}(?:-[a-z]+)*\s*:(.*)", re.IGNORECASE)
# A bar at the head of a line begins a cell or an argument; `|x|` is an absolute value.
_TABLE_LINE = re.compile(
    r"[\s*#:;]*(?:\{\||\|(?!\s*[^\s|]{1,8}\|(?![|}-]))|\|.*\|\||!\s|!\s*[a-z]+\s*=|!.*!!)"
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

# A Wikipedia line below this length that ends no sentence is a section heading. In scripts that say more in a
# character the limit is lower; in alphabets not higher, since there it drops short sentences too.
_HEADING_CHARACTERS = 30
# A Korean sentence ends in its verb. Bare 요, 자, 임 and 음 end nouns as well: 개요, 후보자, 게임, 발음.
_KOREAN_ENDING = re.compile(
    r"\S\s+\S.*(?:다|까|죠|시오|(?:어|아|해|에|예|세|지|네|데|군|나|까|걸|는|되|줘|돼)요)[.!?…]*[\"'”’)\]]*[.!?…]*\s*$"
)


def clean_wiki_markup(text: str) -> str:
    """A line of Wikipedia text without what extraction left of links, templates and foreign scripts."""
    if "{" in text or "}}" in text:
        text = _without_braces(text)
    if "[[" in text or "]]" in text or "}}" in text or "''" in text:
        text = _WIKI_REST.sub("", _WIKI_LINK.sub(r"\1", _WIKI_FILE.sub("", text)))
    if "__" in text:
        text = _MAGIC_WORD.sub("", text)
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


def _without_braces(text: str) -> str:
    """The line with the text of its templates, where that is known, and one reading of converted words."""
    if "-{" in text:
        text = _CONVERTED.sub(_one_reading, text)
    if "{{" in text:
        text = _PARAMETER.sub(MARK, _WIKI_LINK.sub(r"\1", _WIKI_FILE.sub("", text)))
        while "{{" in text and (expanded := _TEMPLATE.sub(_expand, text)) != text:
            text = expanded  # the innermost ones, at each turn
        text = settle_marks(_CUT_TAIL.sub(MARK, text))
    return _CUT_HEAD.sub("", text) if "}}" in text else text


def _expand(match: re.Match[str]) -> str:
    name, *parts = match[1].split("|")
    arguments, position = {}, 0
    for part in parts:
        key, equals, value = part.partition("=")
        if not equals:
            position += 1
            key, value = str(position), part
        arguments[key.strip()] = value
    return template_text(name, arguments)


def _one_reading(match: re.Match[str]) -> str:
    flags, words = match[1] or "", match[2]
    if "H" in flags or "T" in flags:  # hidden, or the page's title
        return ""
    readings = [found[1].strip() for word in words.split(";") if (found := _READING.match(word))]
    return readings[0] if readings else words


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
