"""What a language code tells: its name, its scripts, how long its sentences are.

Codes, names and likely scripts come from the Unicode CLDR and IANA tables of `langcodes`, scripts of
characters from `fontTools`; what no table has stands here with its reason.
"""

import difflib
from dataclasses import dataclass
from functools import lru_cache

import langcodes
from fontTools import unicodedata as scripts
from langcodes.data_dicts import LIKELY_SUBTAGS

from xpt.program.errors import XPTError

# ISO 15924 has codes for ways of writing; Unicode knows only the scripts of single characters. Korean is held
# to Hangul: a sentence of Han alone is Chinese or classical.
_SCRIPTS_OF_WRITING = {
    "Kore": ("Hang",),
    "Jpan": ("Hira", "Kana", "Hani"),
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Aran": ("Arab",),
}
# Valid codes that name no language: any letter may be theirs.
_NO_LANGUAGE = (None, "mul", "mis", "zxx", "art")
# Shorter words of Latin letters are like the names of too many languages.
_SHORTEST_NAME = 4

# Characters for what Korean says in one (experiments/languages/lengths.json): Chinese 0.72, Japanese 1.01,
# Thai 1.5, alphabets from 1.4 (Hebrew) to 2.2 (Gaelic), most near 1.8.
_LENGTH_OF_SCRIPT = {"Han": 0.7, "Hangul": 1.0, "Hiragana": 1.0}
_LENGTH_OF_ALPHABETS = 1.8
# Written without blanks between words; Myanmar and Tibetan have some, but between phrases.
_WITHOUT_BLANKS = frozenset(("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"))


@dataclass(frozen=True)
class Language:
    """A language, perhaps with its script and territory."""

    tag: str  # BCP 47, normalized: "kor" and "ko" are "ko", "uk_ua" is "uk-UA"
    code: str  # the language alone: ISO 639-1, or 639-3 where that has none
    name: str  # in English
    scripts: tuple[str, ...]  # Unicode's names; () where no table knows them

    @property
    def relative_length(self) -> float:
        """Characters it takes to say what Korean says in one."""
        known = [_LENGTH_OF_SCRIPT[script] for script in self.scripts if script in _LENGTH_OF_SCRIPT]
        return max(known, default=_LENGTH_OF_ALPHABETS)

    @property
    def separates_words(self) -> bool:
        """Whether blanks stand between words; of a script that no table knows that is taken so."""
        return not self.scripts or not _WITHOUT_BLANKS.issuperset(self.scripts)


@lru_cache
def find_language(tag: str) -> Language:
    """The language of an ISO 639-1, ISO 639-3 or BCP 47 code. Raises `XPTError` for any other word."""
    try:
        found = langcodes.Language.get(tag)
        code = found.language or ("und" if tag.lower().startswith("und") else "")
        is_usable = found.is_valid() and 2 <= len(code) <= 3
    except ValueError:
        is_usable = False
    if not is_usable:
        near = _suggestion(tag.strip())
        hint = (
            f"did you mean {near}?"
            if near
            else "give an ISO 639 or BCP 47 code, such as ko, uk, yue or sr-Latn"
        )
        raise XPTError(f"language {tag!r} is no language code: {hint}")
    return Language(found.to_tag(), code, found.display_name("en"), _scripts(found))


def _suggestion(word: str) -> str | None:
    """The code that was meant by a country's ("ua"), or by a name or nearly one ("Ukrainian", "welhs")."""
    if country := LIKELY_SUBTAGS.get(f"und-{word.upper()}"):
        return _code_and_name(langcodes.Language.get(country).language)
    if word.isascii() and len(word) < _SHORTEST_NAME:
        return None
    try:
        return _code_and_name(langcodes.find(word).language)
    except LookupError:
        codes = [tag for tag in LIKELY_SUBTAGS if tag.isalpha() and tag != "und"]
        names = {langcodes.Language.get(code).language_name("en").lower(): code for code in codes}
        near = difflib.get_close_matches(word.lower(), names, n=1)
        return _code_and_name(names[near[0]]) if near else None


def _code_and_name(code: str | None) -> str:
    return f"{code} ({langcodes.Language.get(code or 'und').language_name('en')})"


def _scripts(language: langcodes.Language) -> tuple[str, ...]:
    writing = language.script
    if writing is None and language.language not in _NO_LANGUAGE:
        # A language that the table does not know would be written as English is.
        known = any(tag in LIKELY_SUBTAGS for tag in language.broader_tags() if not tag.startswith("und"))
        writing = language.maximize().script if known else None
    codes = _SCRIPTS_OF_WRITING.get(writing or "", (writing,) if writing else ())
    names = (scripts.script_name(code, default="Unknown") for code in codes)
    return tuple(name for name in names if name != "Unknown")


def script_of(character: str) -> str | None:
    """Unicode's name of a letter's script; None for digits, marks and signs that all scripts share."""
    code = scripts.script(character)
    return None if code in ("Zyyy", "Zinh", "Zzzz") else scripts.script_name(code)
