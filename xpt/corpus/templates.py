"""Templates, which only the wiki itself can expand: the text that one stands for, or the hole that it leaves.

The text of some is one of their arguments; that of a footnote is no part of the sentence. Any other leaves
a hole if a word of the sentence is missing: then the sentence is dropped, by the mark HOLE in it.
"""

import re

HOLE = "template_1"
# Where a template of unknown text stood, until the line around it is whole. No character of any text.
MARK = "\ufdd0"

# The text is the first argument ...
_FIRST = frozenset(
    "한자, hanja, 루비, ruby, ruby-ja, nihongo, nihongo2, ja-y, zh-hans, zh-hant, 줄바꿈 금지, 줄바꿈금지, "
    "nowrap, nobr, nobreak, нобр, small, smaller, 작게, 작은 글씨, big, larger, 크게, 큰 글씨, 굵게, bold, "
    "기울임, italic, em, strong, mono, sub, sup, 위첨자, 아래첨자, ipa, abbr, 약어, tooltip, 툴팁, comment, "
    "num".split(", ")
)
# ... or the second, behind a language or a color, ...
_SECOND = frozenset(
    "lang, llang, langx, 언어, foreign language, 전사, transl, transliteration, color, colour, 색, 글자색, "
    "font color, fontcolor".split(", ")
)
# ... or the second if there is one: a link to an article that is still to be written.
_LINKS = frozenset("нп, нп3, нп5, не перекладено".split(", "))
_CONVERSIONS = frozenset(("변환", "convert", "cvt", "단위 변환"))
_SYMBOLS = {
    "!": "|",
    "=": "=",
    "·": "·",
    "•": "·",
    "-": "",
    "nbsp": " ",
    "spaces": " ",
    "ndash": "–",
    "snd": " – ",
}
_FOOTNOTE = re.compile(
    r"ref|refn|r|rp|sfn\w*|harv\w*|efn\w*|cit(?:e|ation)\b.*|fact|cn|clarify|dubious|vague|who|when|where|which"
    r"|by whom|dead link|webarchive|note\w*|reflist|(?:visible )?anchor|flagicon.*|isbn|doi|angen ffynhonnell"
    r"|각주\w*|내용 ?주|주|출처.*|.*(?:출처|확인|설명|인용|주석) ?(?:필요|요청)?|깨진 링크|모호|언제|누가"
    r"|누구|앵커|국기그림|웹아카이브|виноска\w*|прим\w*|джерело.?|уточнити|коли|хто|не перевірено|якір"
)
_ON_THE_PAGE = re.compile(
    r"(?:defaultsort|displaytitle|기본정렬|표시제목|сортування|стандартне_сортування)\s*:"
)
_NUMBER = re.compile(r"[-+−]?\d[\d,. ]*(?:/\d+)?")
_UNIT = re.compile(r"[^\W\d_][\w/²³°·%-]*|°[CF]|%")

# No word is missing where the template stands alone, at the head of a line before a blank or a bold word, ...
_ALONE = re.compile(rf"^[\s*#:;]*(?:{MARK}\s*)+(?:$|(?<=\s)|(?='''))")
# ... right behind a sentence, or behind the last one, ...
_BEHIND_END = re.compile(
    rf"((?:[^\W\d_]|[)\]”’\"'」』])[.!?。！？…][\"'”’)\]」』]*)(?:{MARK}+|(?:\s*{MARK})+\s*$)"
)
# ... in a bracket among commas, ...
_BRACKET = re.compile(r"[(（][^()（）]*[)）]")
_BETWEEN_COMMAS = re.compile(rf"(?<=[(（,;:/~·])\s*(?:{MARK}\s*)+(?=[)）,;:/~·])")
# ... or, as a footnote, at the end of a word.
_BEHIND_WORD = re.compile(rf"(?<=[^\W\d_]|[)\]」』”’'\"]){MARK}+(?=[\s.,;:!?)\]…]|$)")


def template_text(name: str, arguments: dict[str, str]) -> str:
    """What the template stands for in a sentence: an argument, nothing (a footnote), or MARK: it is unknown.

    Args:
        name: the template's name as it is written, or a parser function with its colon.
        arguments: text of the arguments by name; those without one are "1", "2", ...
    """
    name = " ".join(name.replace("_", " ").split()).lower().removeprefix("틀:").removeprefix("template:")
    first, second = (arguments.get(key, "").strip() for key in "12")
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    if name in _CONVERSIONS:
        return f"{first} {second}" if _NUMBER.fullmatch(first) and _UNIT.fullmatch(second) else MARK
    if name in _FIRST or re.match(r"lang-\w", name):
        return first or MARK
    if name in _SECOND:
        return (name.startswith("transl") and arguments.get("3", "").strip()) or second or MARK
    if name in _LINKS:
        return second or first or MARK
    if name.startswith("formatnum:"):
        return name.removeprefix("formatnum:").strip()
    return "" if _FOOTNOTE.fullmatch(name) or _ON_THE_PAGE.match(name) else MARK


def settle_marks(line: str) -> str:
    """The line with HOLE for each MARK where a word is missing, and nothing for the others."""
    if MARK not in line:
        return line
    line = _BEHIND_END.sub(r"\1", _ALONE.sub("", line))
    line = _BRACKET.sub(lambda match: _BETWEEN_COMMAS.sub("", match[0]), line)
    return _BEHIND_WORD.sub("", line).replace(MARK, HOLE)
