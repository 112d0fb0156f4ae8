"""HTML in a line of text: what is a tag, what breaks a line, and what stands in an element that nobody reads.

Text also compares (`a<b and c>d`) and writes titles in angle brackets (`<Code Red>`): a tag has the name of
an element, and attributes as HTML spells them, or none.
"""

import re

# Elements of HTML and MediaWiki whose content is no running text; of a ruby its base is read.
SILENT_ELEMENTS = frozenset(
    "ref references gallery timeline score syntaxhighlight templatedata templatestyles graph imagemap hiero "
    "inputbox categorytree style script mapframe maplink includeonly rt rp rtc".split()
)
FORMULA_ELEMENTS = frozenset(("math", "chem", "ce"))
FORMULA = "formula_1"  # as WikiExtractor writes one: a sentence with a hole is dropped by that mark

_BREAKING = frozenset(
    "br p div table caption thead tbody tfoot tr td th ul ol li dl dt dd blockquote pre poem center hr h1 h2 "
    "h3 h4 h5 h6 article section header footer nav aside figure figcaption gallery references".split()
)
_INLINE = frozenset(
    "a abbr b bdi bdo big cite code del dfn em font i img ins kbd mark nowiki q samp small span strike "
    "strong sub sup tt u var wbr ruby rb noinclude onlyinclude iframe".split()
)
_NAMES = sorted(_BREAKING | _INLINE | SILENT_ELEMENTS | FORMULA_ELEMENTS)
_LONG_NAMES = "|".join(name for name in _NAMES if len(name) > 1 and name not in ("br", "hr"))
_LETTERS = "".join(name for name in _NAMES if len(name) == 1)
_ATTRIBUTES = (
    r"(?:(?:\s+|(?<=[\"']))[a-z_:][a-z0-9_:.-]*\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>=]+)"
    r"|\s+(?:compact|nowrap|noshade|reversed|selected|hidden)(?=[\s/>]))+"
)
# Names of one letter are variables too: their attributes must be whole, those of others may be damaged.
_TAG = re.compile(
    rf"<(?P<end>/?)(?P<name>(?:br|hr)(?=[^\w<]|>)[^<>]*|(?:{_LONG_NAMES})(?:{_ATTRIBUTES}|\s[^<>]*=[^<>]*)?"
    rf"|[{_LETTERS}](?:{_ATTRIBUTES})?)\s*/?>",
    re.IGNORECASE,
)
_NAME = re.compile(r"[a-z]+[1-6]?", re.IGNORECASE)
_COMMENT = re.compile(r"<!--(?:(?!<!--).)*?-->")
_ELEMENT = re.compile(
    rf"<(?P<name>{'|'.join(sorted(SILENT_ELEMENTS | FORMULA_ELEMENTS))})(?:\s[^<>]*)?(?<!/)>"
    r"(?:(?!<(?P=name)[\s>]).)*?</(?P=name)\s*>",
    re.IGNORECASE,
)
_OPEN_READING = re.compile(r"<r[tp]>[^<>]*(?=<(?:r[tp]|/ruby)>)", re.IGNORECASE)
_STRUCK = re.compile(rf"<s(?:{_ATTRIBUTES})?>([^<>]*)</s>", re.IGNORECASE)
# Special tokens of our tokenizers spelled out in the text would become the tokens themselves.
_SPECIAL_TOKEN = re.compile(rf"</?s>|<s{_ATTRIBUTES}>|<(?:pad|unk|mask)>")
_OPERAND = re.compile(r"[A-Za-z0-9](?![A-Za-z0-9])")


def strip_tags(text: str) -> str:
    """The line without tags, comments, special tokens and elements that nobody reads.

    A tag that breaks a line leaves a blank, another one nothing: behind `</b>` a particle may follow. In the
    place of a formula stands its mark.
    """
    if "-->" in text:
        text = _COMMENT.sub("", text)
    if "</" in text:
        text = drop_open_readings(_ELEMENT.sub(_element_text, text))
    text = _TAG.sub(_tag_text, text)
    return _SPECIAL_TOKEN.sub(" ", _STRUCK.sub(r"\1", text))


def drop_open_readings(text: str) -> str:
    """Text without those readings of a ruby whose end is left out, as HTML lets one do."""
    return _OPEN_READING.sub("", text)


def _element_text(match: re.Match[str]) -> str:
    name = match["name"].lower()
    if name in FORMULA_ELEMENTS:
        return FORMULA
    return " " if name in _BREAKING or _ends_clause(match, name) else ""


def _ends_clause(match: re.Match[str], name: str) -> bool:
    """Whether it is a footnote behind a full stop or a comma, where often no blank follows."""
    return name == "ref" and match.string[match.start() - 1 : match.start()] in (".", ",", ";", ":", "!", "?")


def _tag_text(match: re.Match[str]) -> str:
    name = _NAME.match(match["name"])[0]  # type: ignore[index]
    opens = not match["end"] and match[0] == f"<{name}>"
    if opens and (_is_comparison(match, name) or _is_title(name)):
        return match[0]
    name = name.lower()
    return " " if name in _BREAKING or _ends_clause(match, name) else ""


def _is_comparison(match: re.Match[str], name: str) -> bool:
    """Whether the tag stands between two names of one letter and is never closed: `a<b>c`."""
    text, start, end = match.string, match.start(), match.end()
    return (
        len(name) == 1
        and _OPERAND.match(text, end) is not None
        and _OPERAND.match(text[start - 1 : start]) is not None
        and not (start > 1 and text[start - 2].isalnum() and text[start - 2].isascii())
        and text.find(f"</{name}>", end) < 0
    )


def _is_title(name: str) -> bool:
    """Whether the name is written like one of a song or a film: `<Big>`."""
    return len(name) > 2 and name.istitle()
