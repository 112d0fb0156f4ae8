"""Clean lines become sentences: a splitter is a function from (line, language) to the pieces of the line."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import sentencex

from xpt.program.errors import XPTError
from xpt.text.corpus.clean import SentenceFilter, clean_text, is_korean, repair_korean
from xpt.text.corpus.readers import Document
from xpt.text.corpus.settings import CorpusSettings
from xpt.text.corpus.wiki_markup import clean_wiki_markup, is_wiki_junk
from xpt.text.language import find_language

_PAIRS = ("()", "[]", "“”", "‘’", "「」", "『』", "《》", "〈〉")
_QUOTES = "\"'”’」』》〉"
# sentencex knows terminators, quotes and brackets, but no Korean. These rules, found on real text, fix that.
# A new sentence does not begin with what binds to the words before it: a quotative or a closing bracket ...
_BOUND = re.compile(
    r"(?:이?라(?:고|며|면서|는|던|도|든지|네|지)|이?란|하고|하며|하면서|하는|하니|하여|했|한다|고\b|는\b|며\b|라\b|면서\b|가\b|를\b|을\b|은\b"
    r"|에\b|의\b|와\b|과\b|도\b|로\b)"
)
_CLOSER = re.compile(r"[)\]}”’」』》〉,.!?…~;:]|(?:\^\^|[ㅠㅜㅋㅎ]+)\s*$")
# ... and none ends with a number or an enumerator: "2020. 5. 3.", "1. ", "가. ", "No. ".
_NUMBER_END = re.compile(r"(?:^|[\s(∼~\-–])(?:\d{1,4}|제?\d{1,4}[조항호])\.\s*$")
_ENUMERATOR = re.compile(r"^\s*(?:[가-하]|[A-Za-z]|[IVXivx]{1,4}|[①-⑳]|\(?\d{1,3}\)?)\.\s*$")
_ABBREVIATION_END = re.compile(r"(?:^|[\s(])(?:No|no|Vol|vol|pp|p|Op|op|Bd|Nr|vs|cf|St|Mt)\.\s*$")
# Behind a blank or a bracket the mark is a date or a letter that nobody knows: "(？ ~ 692년)", "때 ？기는".
_UNKNOWN_END = re.compile(r"(?:^|[\s(（:,∼~～–-])？+\s*$")
_YEARS = re.compile(r"[∼～~–−－-]\s*\d")
_LONGEST_END = 40  # characters; longer than any of the two
_OPEN_QUOTE_END = re.compile(r"\s(['\"“‘「『《〈(\[])$")
# Ends that sentencex passes by: no space behind the full stop ("생겼다.그는"), a bracket between
# ("없다.(2000년) 그는"), an ellipsis behind a verb ("떠났다… 나는").
_MISSED_END = re.compile(
    r"(?<=[가-힣][다요죠까함음][.!?])(?=[가-힣A-Z「『《〈“‘]|\d{2})"
    r"|(?<=[가-힣][다요죠까함음]\.)\([^()]*\)\s+"
    r"|(?<=[가-힣][다요죠까함음]…)\s+"
)
# Phrases between spaces are joined up to the length of a sentence: the median of Korean Wikipedia's is 56,
# and Thai takes 1.5 characters for one of Korean (experiments/languages/lengths.json).
_PHRASE_CHARACTERS = 80
_PHRASE = re.compile(r"\S+\s*|\s+")


def split_with_sentencex(line: str, language: str) -> list[str]:
    """Pieces of a line, each with its trailing spaces; joined they are the line.

    sentencex (Wikimedia) has rules for some 30 languages and fallbacks for 240; Korean gets English rules, so
    its boundaries are corrected here.
    """
    # Its rules are found by the language alone: "uk-UA" would not get those of Ukrainian.
    pieces = sentencex.segment(find_language(language).code, line)
    return _correct_korean(pieces) if is_korean(language) else pieces


def split_lines_only(line: str, language: str) -> list[str]:
    """The line itself: for text that stands one sentence a line."""
    return [line]


def split_phrases(line: str, language: str) -> list[str]:
    """Cut at spaces, each piece as long as a sentence: for Thai and others that mark no end of a sentence."""
    pieces = [""]
    for phrase in _PHRASE.findall(line):
        if len(pieces[-1]) >= _PHRASE_CHARACTERS:
            pieces.append("")
        pieces[-1] += phrase
    return pieces if line else []


SPLITTERS: dict[str, Callable[[str, str], list[str]]] = {
    "sentencex": split_with_sentencex,
    "phrases": split_phrases,
    "lines": split_lines_only,
}


def _correct_korean(pieces: list[str]) -> list[str]:
    merged: list[str] = []
    for piece in pieces:
        if merged and not _is_korean_boundary(merged[-1], piece):
            merged[-1] += piece
            continue
        if merged and (quote := _OPEN_QUOTE_END.search(merged[-1][-2:])):
            merged[-1] = merged[-1][:-1]
            piece = quote[1] + piece
        merged.append(piece)
    return [part for piece in merged for part in _split_missed_ends(piece)]


def _is_korean_boundary(before: str, after: str) -> bool:
    """Whether a new sentence begins between two pieces."""
    if _CLOSER.match(after) or _ENUMERATOR.match(before):
        return False
    end = before[-_LONGEST_END:]  # a piece that grows by merging is not searched from its head each time
    if _NUMBER_END.search(end) or _ABBREVIATION_END.search(end) or _UNKNOWN_END.search(end):
        return False
    last = before.rstrip()[-1:]
    if last == "？" and _YEARS.match(after):
        return False
    ends_quote = last in _QUOTES
    if not before[-1].isspace():
        # A bracket right behind the full stop belongs to the sentence: "없다.(2000년)".
        return not (after[0] in "([" or ends_quote or _BOUND.match(after))
    return not (ends_quote and _BOUND.match(after))


def _split_missed_ends(piece: str) -> list[str]:
    parts, start = [], 0
    for match in _MISSED_END.finditer(piece):
        cut = match.end()
        if _is_inside_pair(piece[start:cut]) or _BOUND.match(piece, cut):
            continue
        parts.append(piece[start:cut])
        start = cut
    return [*parts, piece[start:]]


def _is_inside_pair(text: str) -> bool:
    """Whether a bracket or quote that opens in `text` is still open at its end."""
    opened = any(text.count(pair[0]) > text.count(pair[1]) for pair in _PAIRS)
    return opened or text.count('"') % 2 == 1


@dataclass
class Tally:
    """What cleaning found in one entry of `corpus`."""

    lines: int = 0
    sentences: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    foreign: Counter[str] = field(default_factory=Counter)  # characters of sentences dropped for their script
    remarks: list[str] = field(default_factory=list)  # on files: what the user should look at

    def add(self, other: "Tally") -> None:
        """Count what `other` counted, too."""
        self.lines += other.lines
        self.sentences += other.sentences
        self.dropped.update(other.dropped)
        self.foreign.update(other.foreign)
        self.remarks += other.remarks


class DocumentCleaner:
    """Turns documents into clean sentences and counts, for each entry, what it keeps and drops."""

    def __init__(self, settings: CorpusSettings, on_drop: Callable[[str, str], object] | None = None):
        """`on_drop` is told of each line or sentence that is dropped: the reason, and its text."""
        if settings.splitter not in SPLITTERS:
            raise XPTError(f"splitter is {settings.splitter!r}: use one of {', '.join(SPLITTERS)}")
        assert settings.min_characters is not None and settings.max_characters is not None
        self._split = SPLITTERS[settings.splitter]
        self._language = settings.language
        self._is_korean = is_korean(settings.language)
        self._filter = SentenceFilter(
            settings.language, settings.min_characters, settings.max_characters, settings.min_script_share
        )
        self._on_drop = on_drop
        self.tallies = [Tally() for _ in settings.corpus]

    def sentences(self, document: Document) -> list[str]:
        """The document's sentences, cleaned, in order."""
        tally = self.tallies[document.entry]
        if document.remark:
            tally.remarks.append(document.remark)
        kept = []
        for line in self._lines(document, tally):
            for piece in self._split(line, self._language):
                sentence = piece.strip()
                if reason := self._filter.reason_to_drop(sentence):
                    self._drop(reason, sentence, tally)
                    if reason == "script":
                        tally.foreign.update(sentence)
                else:
                    kept.append(sentence)
        tally.sentences += len(kept)
        return kept

    def _drop(self, reason: str, text: str, tally: Tally) -> None:
        tally.dropped[reason] += 1
        if self._on_drop is not None:
            self._on_drop(reason, text)

    def _lines(self, document: Document, tally: Tally) -> Iterator[str]:
        for raw in document.lines:
            line = clean_text(raw)
            if document.is_wiki:
                line = clean_text(clean_wiki_markup(line))
            if not line:
                continue
            if self._is_korean:
                line = repair_korean(line)
            tally.lines += 1
            if document.is_wiki and is_wiki_junk(line, self._language):
                self._drop("heading", line, tally)
            else:
                yield line
