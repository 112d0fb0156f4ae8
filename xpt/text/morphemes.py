"""Where the words of training text are cut, so that no piece of a trained vocabulary crosses a morpheme.

A segmenter is asked while a vocabulary is trained, and never again: the tokenizer that comes out is an
ordinary one. It says places only. What stands between them is the text itself, not a dictionary form, so that
a syllable that two morphemes share stays whole.
"""

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import regex

from xpt.program.environment import available_cores
from xpt.program.errors import XPTError
from xpt.text.language import find_language

_WORD = regex.compile(r"\w+(?:['’-]\w+)*")  # with the combining marks of its letters


class Segmenter(Protocol):
    """Says where words are made of morphemes. Any object of this shape will do for `train_tokenizer`."""

    @property
    def identity(self) -> str:
        """Tool, version and data, for cards and cache keys: equal identities cut equal texts alike."""

    def places(self, sentences: Iterable[str]) -> Iterator[Iterable[int]]:
        """Of each sentence, in order, the characters before which a morpheme begins or behind which one ends.

        Places at a blank, at the ends or outside of the sentence do not matter.
        """


def name_segmenter(choice: str, language: str) -> str:
    """Whom `--tokenizer_morphemes` asks: the language's analyzer for "true", else the file it names.

    Raises `XPTError` where there is no analyzer for the language.
    """
    if choice != "true":
        return str(Path(choice).expanduser().absolute())
    code = find_language(language).code
    if code not in ANALYZERS:
        raise XPTError(
            f"--tokenizer_morphemes true is for {', '.join(ANALYZERS)}, not {language}; give a file "
            "of words, cut into morphemes by blanks"
        )
    return code


def open_segmenter(name: str) -> Segmenter:
    """What `name_segmenter` named; an analyzer loads its model when it is asked.

    Raises `XPTError` for an analyzer that is not installed, and for a file that is missing or cuts no word.
    """
    return ANALYZERS[name]() if name in ANALYZERS else WordFile(Path(name))


def mark_boundaries(text: str, places: Iterable[int], mark: str) -> str:
    """The text with `mark` at the places that are inside of a word and part no letter from its marks."""
    chosen = sorted(place for place in set(places) if 0 < place < len(text) and _may_part(text, place))
    return mark.join(text[start:end] for start, end in pairwise([0, *chosen, len(text)]))


def _may_part(text: str, place: int) -> bool:
    before, behind = text[place - 1], text[place]
    joined = unicodedata.category(behind)[0] == "M" or "Cf" in map(unicodedata.category, (before, behind))
    return not (before.isspace() or behind.isspace() or joined)


class Kiwi:
    """Korean morphemes by kiwipiepy, whose analysis does not depend on the number of its threads."""

    def __init__(self) -> None:
        try:
            names = ("kiwipiepy", "kiwipiepy_model")
            self.identity = ", ".join(f"{name} {version(name)}" for name in names)
        except PackageNotFoundError as error:
            raise XPTError(
                "--tokenizer_morphemes true needs kiwipiepy, which is not installed: "
                "pip install 'xpt[morphemes]'"
            ) from error

    def places(self, sentences: Iterable[str]) -> Iterator[set[int]]:
        import kiwipiepy  # an extra; two seconds

        for tokens in kiwipiepy.Kiwi(num_workers=available_cores()).tokenize(iter(sentences)):
            yield free_boundaries((token.start, token.start + token.len) for token in tokens)


def free_boundaries(spans: Iterable[tuple[int, int]]) -> set[int]:
    """Begins and ends of morphemes that are inside of no other: contractions share characters."""
    edges, inside = set[int](), set[int]()
    for start, end in spans:
        edges |= {start, end}
        inside.update(range(start + 1, end))
    return edges - inside


class WordFile:
    """Words as a file cuts them, whatever stands around them; all others stay whole.

    The file has a word a line in UTF-8, its morphemes apart by blanks: what an analyzer of any language gave.
    """

    def __init__(self, path: Path) -> None:
        try:
            content = path.read_bytes()
            text = content.decode("utf-8-sig")
        except OSError as error:
            raise XPTError(
                f"--tokenizer_morphemes {path}: {error.strerror}; give true (Korean) or a file of words cut "
                "into morphemes by blanks"
            ) from error
        except UnicodeDecodeError as error:
            raise XPTError(f"{path} is not UTF-8: save it as such") from error
        self.identity = f"{path.name}, SHA-256 {hashlib.sha256(content).hexdigest()[:24]}"
        self._cuts = _read_words(path, text)

    def places(self, sentences: Iterable[str]) -> Iterator[list[int]]:
        for sentence in sentences:
            words = _WORD.finditer(sentence)
            yield [word.start() + cut for word in words for cut in self._cuts.get(word[0], ())]


def _read_words(path: Path, text: str) -> dict[str, tuple[int, ...]]:
    cuts: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(unicodedata.normalize("NFC", text).splitlines(), 1):
        morphemes = line.split()
        ends = tuple(sum(map(len, morphemes[:count])) for count in range(1, len(morphemes)))
        word = "".join(morphemes)
        if cuts.setdefault(word, ends) != ends:
            raise XPTError(f"{path}, line {number}: {word} is cut in another way before: keep one of both")
    if not any(cuts.values()):
        raise XPTError(f"{path} cuts no word: give a word a line, its morphemes apart by blanks")
    return cuts


ANALYZERS: dict[str, Callable[[], Segmenter]] = {"ko": Kiwi}  # by the code of their language
