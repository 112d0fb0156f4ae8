"""What a corpus is made of and how: one frozen dataclass, every default with its reason."""

import hashlib
import json
import math
from dataclasses import MISSING, asdict, dataclass
from fractions import Fraction
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.settings import option
from xpt.text.language import Language, find_language

SPLIT_NAMES = ("train", "validation", "test")

# Where u = hash / 2^64 of a sentence (or document) lies decides its split: test below the first number,
# validation below the sum, training the rest. With 4 M / 100 K / 88 K sentences the paper's shares.
TEST_SHARE = 0.0211
VALIDATION_SHARE = 0.024

# For Korean: below ten characters stand headings and exclamations, beyond a thousand lists and tables. Other
# scripts take fewer or more characters for the same words; the lower limit never rises, since alphabets have
# sentences of ten characters ("Mae'n oer.").
_MIN_CHARACTERS = 10
_MAX_CHARACTERS = 1000
# Written without a mark at the end of a sentence, or with one that sentencex does not know.
_PHRASE_SCRIPTS = ("Thai", "Lao", "Khmer", "Tibetan")


@dataclass(frozen=True)
class CorpusSettings:
    """The inputs of a corpus and every decision that changes its content."""

    corpus: tuple[str, ...] = option(
        MISSING,
        "Files (text, tables, MediaWiki dumps), folders, globs, or a Hub data set `org/name`, "
        "`org/name:config@revision`.",
    )
    corpus_weights: tuple[float, ...] | None = option(
        None,
        "One number for each entry of --corpus (a file, folder, glob or Hub data set), of any sum: its share "
        "of the training sentences. None is repeated: with --train_sentences an entry that has less than its "
        "share gives all it has, and a warning says so; without, training is the largest mixture in which "
        "all shares hold. Held-out text is the same for all weights. Default: each gives all it has.",
    )
    column: str | None = option(None, "Text column of jsonl, parquet, csv, tsv and Hub data.")
    language: str = option(
        "ko",
        "ISO 639 or BCP 47 code (ko, uk, yue, sr-Latn; und for none). Sentence splitter, length limits, "
        "script check and the tokenizer's character coverage follow it.",
    )
    split_by: Literal["sentence", "document"] = option(
        "sentence", "What is held out: sentences (RE22) or, for text full of boilerplate, documents."
    )
    split_seed: int = option(
        0, "Seed of the split; its own, so that runs with another --seed share the test set."
    )
    train_sentences: int | None = option(
        None, "Keep this many training sentences (nested: 40K in 400K in 4M). Default: all."
    )
    validation_sentences: int | None = option(
        None, "Keep this many validation sentences (RE22: 100,000). Default: all."
    )
    test_sentences: int | None = option(None, "Keep this many test sentences (RE22: 88,000). Default: all.")
    splitter: str | None = option(
        None,
        "sentencex (best of five, experiments/splitters), phrases (at spaces, about 80 characters each) or "
        "lines (text of one sentence a line). Default: phrases for Thai, Lao, Khmer and Tibetan script, "
        "whose sentences end without a mark or with one unknown to sentencex; else sentencex.",
    )
    min_characters: int | None = option(
        None,
        "Shorter sentences are dropped: headings, exclamations. Default: 10; 7 in Chinese, which takes 0.7 "
        "characters for one of Korean (experiments/languages).",
    )
    max_characters: int | None = option(
        None,
        "Longer sentences are dropped: lists, tables. Default: 1000 in Korean and Japanese, 700 in Chinese, "
        "1800 in alphabets, by the same measure.",
    )
    min_script_share: float = option(
        0.25,
        "Least share of letters of the language's script among a sentence's characters; 0 keeps all. A "
        "quarter keeps Korean that quotes English names.",
    )
    near_duplicates: bool = option(
        False,
        "Of sentences that are nearly the same keep one, the one in training first (MinHash). P21 and RE22 "
        "removed exact repetitions only; the report says what it dropped.",
    )
    near_duplicate_threshold: float = option(
        0.8, "Share of common character trigrams (Jaccard) from which sentences are nearly the same."
    )

    def __post_init__(self) -> None:
        self._set("corpus", tuple(self.corpus))
        if not self.corpus:
            raise XPTError("corpus is empty: name at least one file, folder, glob or Hub dataset")
        if self.split_by not in ("sentence", "document"):
            raise XPTError(f"split_by is {self.split_by!r}: use sentence or document")
        language = find_language(self.language)
        self._set("language", language.tag)
        self._follow(language)
        self._check_weights()
        self._check_thresholds()
        if not 0 < self.near_duplicate_threshold <= 1:
            raise XPTError(
                f"near_duplicate_threshold is {self.near_duplicate_threshold}: give a share above 0, at most "
                "1"
            )
        for split in SPLIT_NAMES:
            limit = self.limit(split)
            if limit is not None and limit < 1:
                raise XPTError(
                    f"{split}_sentences is {limit}: give a positive number, or leave it out to keep all"
                )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _follow(self, language: Language) -> None:
        """Fill in what was left to the language."""
        length = language.relative_length
        if self.splitter is None:
            self._set("splitter", "phrases" if set(language.scripts) & set(_PHRASE_SCRIPTS) else "sentencex")
        longest = round(_MAX_CHARACTERS * length) if self.max_characters is None else self.max_characters
        self._set("max_characters", longest)
        if self.min_characters is None:
            self._set("min_characters", min(round(_MIN_CHARACTERS * min(1.0, length)), longest))

    def _check_weights(self) -> None:
        weights = self.corpus_weights
        if weights is None:
            return
        self._set("corpus_weights", tuple(map(float, weights)))
        if len(weights) != len(self.corpus):
            raise XPTError(
                f"corpus_weights has {len(weights)} numbers for {len(self.corpus)} entries of corpus: give "
                "one for each"
            )
        for name, weight in zip(self.corpus, weights, strict=True):
            if not (math.isfinite(weight) and weight >= 0):
                raise XPTError(f"corpus_weights gives {name} the weight {weight}: use a number from 0 up")
        if not any(weights):
            raise XPTError("corpus_weights are all 0: give at least one entry of corpus a share")

    def _check_thresholds(self) -> None:
        assert self.min_characters is not None and self.max_characters is not None
        if not 0 <= self.min_characters <= self.max_characters:
            raise XPTError(
                f"min_characters is {self.min_characters} and max_characters {self.max_characters}: "
                "use 0 <= min_characters <= max_characters"
            )
        if not 0 <= self.min_script_share <= 1:
            raise XPTError(f"min_script_share is {self.min_script_share}: use a share from 0 to 1")

    @property
    def shares(self) -> tuple[Fraction, ...] | None:
        """What `corpus_weights` say, as exact parts of 1; None without them."""
        if self.corpus_weights is None:
            return None
        # By their decimal digits: 0.1 is a tenth.
        weights = [Fraction(repr(weight)) for weight in self.corpus_weights]
        return tuple(weight / sum(weights) for weight in weights)

    def limit(self, split: str) -> int | None:
        """How many sentences of `split` are wanted; None for all."""
        limits = (self.train_sentences, self.validation_sentences, self.test_sentences)
        return limits[SPLIT_NAMES.index(split)]

    def content_fields(self) -> dict[str, object]:
        """The settings apart from where the text comes from: part of the fingerprint of what comes out."""
        fields = asdict(self)
        del fields["corpus"], fields["corpus_weights"], fields["column"]
        if not self.near_duplicates:  # as if there were no such option
            del fields["near_duplicates"], fields["near_duplicate_threshold"]
        return fields


def digest_json(value: object) -> str:
    """SHA-256 of a JSON-able value, as hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()  # paths may hold any bytes
