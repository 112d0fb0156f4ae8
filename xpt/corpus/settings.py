"""What a corpus is made of and how: one frozen dataclass, every default with its reason."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from xpt.errors import XPTError

SPLIT_NAMES = ("train", "validation", "test")

# Where u = hash / 2^64 of a sentence (or document) lies decides its split: test below the first number,
# validation below the sum, training the rest. With 4 M / 100 K / 88 K sentences the paper's shares.
TEST_SHARE = 0.0211
VALIDATION_SHARE = 0.024


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
    splitter: str = field(
        default="sentencex",
        metadata={
            "help": "sentencex (experiments/splitters/: the best F1 of five, a hundred times faster than the "
            "next best), or lines, for text that already stands one sentence a line."
        },
    )
    min_characters: int = field(
        default=10,
        metadata={"help": "Shorter sentences are dropped: below ten they are headings and exclamations."},
    )
    max_characters: int = field(
        default=1000,
        metadata={"help": "Longer sentences are dropped: beyond a thousand they are lists and tables."},
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
        object.__setattr__(self, "corpus", tuple(self.corpus))
        if not self.corpus:
            raise XPTError("corpus is empty: name at least one file, folder, glob or Hub dataset")
        if self.split_by not in ("sentence", "document"):
            raise XPTError(f"split_by is {self.split_by!r}: use sentence or document")
        if not 0 <= self.min_characters <= self.max_characters:
            raise XPTError(
                f"min_characters is {self.min_characters} and max_characters {self.max_characters}: "
                "use 0 <= min_characters <= max_characters"
            )
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

    def limit(self, split: str) -> int | None:
        """How many sentences of `split` are wanted; None for all."""
        limits = (self.train_sentences, self.validation_sentences, self.test_sentences)
        return limits[SPLIT_NAMES.index(split)]

    def content_fields(self) -> dict[str, object]:
        """The settings apart from where the text comes from: part of the fingerprint of what comes out."""
        fields = asdict(self)
        del fields["corpus"], fields["column"]
        if not self.near_duplicates:  # as if there were no such option
            del fields["near_duplicates"], fields["near_duplicate_threshold"]
        return fields


def digest_json(value: object) -> str:
    """SHA-256 of a JSON-able value, as hex."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()  # paths may hold any bytes
