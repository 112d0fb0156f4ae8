"""What a user says of the text."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.settings import check_values, option, option_of
from xpt.text.corpus import CorpusSettings
from xpt.text.shards.credentials import check_place

# What may be said of shards; all else of a corpus was decided when they were made.
OF_SHARDS = ("corpus_shards", "shard_cache_gb", "language", "attribution")


@dataclass
class CorpusArguments:
    """Text in the target language.

    Raises:
        XPTError: a language, a share or a count that cannot be meant.

    Example:
        >>> corpus = xpt.CorpusArguments(["wiki.txt", "news/"], corpus_weights=[0.7, 0.3], language="ko")
        >>> corpus.settings().splitter
        'sentencex'
    """

    corpus: list[str] | None = option_of(CorpusSettings, "corpus", default=None)
    corpus_shards: str | None = option(
        None,
        "Instead of --corpus: a folder or URL (hf://datasets/org/name, s3://...) of shards that "
        "`xpt shards` made, for text too big for one disk. It brings its tokenizer, and "
        "what decides about sentences was decided when it was made (docs/scale.md).",
    )
    shard_cache_gb: float = option(
        20.0,
        "Disk for fetched shards in --cache_dir, on each machine; the least recently read ones make space.",
    )
    corpus_weights: list[float] | None = option_of(CorpusSettings, "corpus_weights")
    corpus_column: str | None = option_of(CorpusSettings, "column")
    language: str = option_of(CorpusSettings, "language")
    splitter: Literal["sentencex", "phrases", "lines"] | None = option_of(CorpusSettings, "splitter")
    min_characters: int | None = option_of(CorpusSettings, "min_characters")
    max_characters: int | None = option_of(CorpusSettings, "max_characters")
    min_script_share: float = option_of(CorpusSettings, "min_script_share")
    split_by: Literal["sentence", "document"] = option_of(CorpusSettings, "split_by")
    split_seed: int = option_of(CorpusSettings, "split_seed")
    train_sentences: int | None = option_of(CorpusSettings, "train_sentences")
    validation_sentences: int | None = option_of(CorpusSettings, "validation_sentences")
    test_sentences: int | None = option_of(CorpusSettings, "test_sentences")
    near_duplicates: bool = option_of(CorpusSettings, "near_duplicates")
    near_duplicate_threshold: float = option_of(CorpusSettings, "near_duplicate_threshold")
    attribution: str | None = option(None, "Who made the text and its license, for the model card.")

    def __post_init__(self) -> None:
        check_values(self)
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
