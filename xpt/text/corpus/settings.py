"""What a corpus is made of and how: one frozen dataclass, every default with its reason."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Literal

from xpt.program.errors import XPTError
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

    corpus: tuple[str, ...] = field(
        metadata={
            "help": "Files, folders or globs (.txt .jsonl .parquet .csv .tsv, MediaWiki dumps as .xml, "
            "WikiExtractor output; plain or .gz .xz .bz2 .zst), or Hub datasets: org/name, org/name:config, "
            "org/name:config@revision."
        }
    )
    corpus_weights: tuple[float, ...] | None = field(
        default=None,
        metadata={
            "help": "One number for each entry of corpus, of any sum: its share of the training sentences. "
            "No sentence is repeated, and held-out splits do not follow them. Default: each entry gives "
            "all it has."
        },
    )
    column: str | None = field(
        default=None,
        metadata={
            "help": "Column that holds the text in jsonl, parquet, csv, tsv and Hub data. Default: text."
        },
    )
    language: str = field(
        default="ko",
        metadata={"help": "Language code of the text; sentence splitting and the script check follow it."},
    )
    split_by: Literal["sentence", "document"] = field(
        default="sentence",
        metadata={
            "help": "What is put into a split as a whole. sentence: as the paper. document: for text heavy "
            "with boilerplate; held-out sentences that also stand in training documents are dropped. A "
            "document is a <doc> of WikiExtractor, a row of a table, or a block between blank lines of a "
            ".txt file."
        },
    )
    split_seed: int = field(
        default=0,
        metadata={"help": "Seed of the split's hash. Not the run's seed: all runs share one test set."},
    )
    train_sentences: int | None = field(
        default=None,
        metadata={"help": "Keep this many training sentences, those of the lowest hash. Default: all."},
    )
    validation_sentences: int | None = field(
        default=None,
        metadata={"help": "Keep this many validation sentences, those of the lowest hash. Default: all."},
    )
    test_sentences: int | None = field(
        default=None,
        metadata={"help": "Keep this many test sentences, those of the lowest hash. Default: all."},
    )
    splitter: str | None = field(
        default=None,
        metadata={
            "help": "sentencex (experiments/splitters/: the best F1 of five, a hundred times faster than the "
            "next best), phrases (cut at spaces, for scripts without sentence marks), or lines, for text "
            "that already stands one sentence a line. Default: by language."
        },
    )
    min_characters: int | None = field(
        default=None, metadata={"help": "Shorter sentences are dropped. Default: by language."}
    )
    max_characters: int | None = field(
        default=None, metadata={"help": "Longer sentences are dropped. Default: by language."}
    )
    min_script_share: float = field(
        default=0.25,
        metadata={
            "help": "Least share of the language's own letters among a sentence's characters without spaces."
        },
    )
    near_duplicates: bool = field(
        default=False,
        metadata={
            "help": "Of sentences that are nearly the same keep the first; held-out ones near a training "
            "sentence are dropped. Off: the papers removed exact repetitions only."
        },
    )
    near_duplicate_threshold: float = field(
        default=0.8,
        metadata={
            "help": "Share of common character trigrams (Jaccard) from which sentences are nearly the same."
        },
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
