"""What a user says of the text."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.options import option
from xpt.text.corpus import CorpusSettings
from xpt.text.shards.credentials import check_place

# What may be said of shards; all else of a corpus was decided when they were made.
OF_SHARDS = ("corpus_shards", "shard_cache_gb", "language", "attribution")


@dataclass
class CorpusArguments:
    """Text in the target language."""

    corpus: list[str] | None = option(
        None,
        "Files (text, tables, MediaWiki dumps), folders, globs, or a Hub data set `org/name`, "
        "`org/name:config@revision`.",
    )
    corpus_shards: str | None = option(
        None,
        "Instead of --corpus: a folder or URL (hf://datasets/org/name, s3://...) of shards that "
        "`xpt shards` made, for text too big for one disk. It brings its tokenizer, and "
        "what decides about sentences was decided when it was made (docs/scale.md).",
    )
    shard_cache_gb: float = option(
        20.0,
        "Disk for fetched shards in --cache_dir, on each machine; the least recently read ones make room.",
    )
    corpus_weights: list[float] | None = option(
        None,
        "One number for each entry of --corpus (a file, folder, glob or Hub data set), of any sum: its share "
        "of the training sentences. None is repeated: with --train_sentences an entry that has less than its "
        "share gives all it has, and a warning says so; without, training is the largest mixture in which "
        "all shares hold. Held-out text is the same for all weights. Default: each gives all it has.",
    )
    corpus_column: str | None = option(None, "Text column of jsonl, parquet, csv, tsv and Hub data.")
    language: str = option(
        "ko",
        "ISO 639 or BCP 47 code (ko, uk, yue, sr-Latn; und for none). Sentence splitter, length limits, "
        "script check and the tokenizer's character coverage follow it.",
    )
    splitter: Literal["sentencex", "phrases", "lines"] | None = option(
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
    near_duplicates: bool = option(
        False,
        "Of sentences that are nearly the same keep one, the one in training first (MinHash). P21 and RE22 "
        "removed exact repetitions only; the report says what it dropped.",
    )
    near_duplicate_threshold: float = option(
        0.8, "Share of common character trigrams (Jaccard) from which sentences are nearly the same."
    )
    attribution: str | None = option(None, "Who made the text and its license, for the model card.")

    def __post_init__(self) -> None:
        if self.corpus_shards:
            self._check_shards()
        elif self.corpus:
            self.settings()  # a mistake is found before a source is opened

    def _check_shards(self) -> None:
        if self.corpus:
            raise XPTError("--corpus and --corpus_shards: give one of them")
        check_place(str(self.corpus_shards))
        if not (math.isfinite(self.shard_cache_gb) and self.shard_cache_gb > 0):
            raise XPTError(f"--shard_cache_gb is {self.shard_cache_gb}: give a number of gigabytes above 0")
        for entry in fields(self):
            if entry.name not in OF_SHARDS and getattr(self, entry.name) != entry.default:
                raise XPTError(
                    f"--{entry.name} has no effect on --corpus_shards: it was decided when they were prepared"
                )

    def settings(self) -> CorpusSettings:
        """The same as the corpus takes it. Raises `XPTError` for what it cannot use."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        for name in ("attribution", "corpus_shards", "shard_cache_gb"):
            del values[name]
        return CorpusSettings(column=values.pop("corpus_column"), **{**values, "corpus": self.corpus or ()})
