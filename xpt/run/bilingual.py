"""Text of the source's language and sentence pairs, for phases that read them (Li et al. 2021)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from xpt.program.cache import cache_key
from xpt.program.errors import XPTError
from xpt.recipe.recipe import Recipe
from xpt.run.linking import LINKS_BUILD, link_pairs
from xpt.text.encoding import EncodedSentences, encode_sentences
from xpt.text.examples import Examples
from xpt.text.masking import MLMCollator
from xpt.text.packing import TARGET, RowSource
from xpt.text.pair_batches import Collate, PairCollator, TurnCollator
from xpt.text.pairs import SentencePairs
from xpt.text.reading import PAIRS, SOURCE, TO_SOURCE, TO_TARGET
from xpt.text.special_tokens import SpecialIds
from xpt.text.tokenizer import tokenizer_fingerprint
from xpt.transplant.embeddings.aligner import MAX_PIECES
from xpt.transplant.embeddings.context import ParallelText
from xpt.transplant.embeddings.files import read_lines, read_parallel

LANGUAGE_ROWS = (0, 1)  # of the language table: the source's language, and the target's


def streams_read(recipe: Recipe) -> set[str]:
    """What the phases of a recipe read, by the names of `xpt.text.reading`."""
    return {kind for phase in recipe.planned_phases() for kind in phase.turns}


def files_read(recipe: Recipe) -> set[str]:
    """Options whose files phases read, whatever the start of the embeddings does with them."""
    kinds = streams_read(recipe)
    pairs = {"parallel", "alignments"} if kinds & set(PAIRS) else set()
    return pairs | ({"source_text", "parallel"} if SOURCE in kinds else set())


def check_bilingual(recipe: Recipe) -> None:
    """Find what phases lack before the text is read. Raises `XPTError`."""
    for phase in recipe.planned_phases():
        kinds, where = set(phase.turns), f"phase {phase.name!r}"
        if kinds == {TARGET}:
            continue
        if recipe.source.architecture != "trelm":
            raise XPTError(
                f"{where} reads two languages, for which --architecture trelm has embeddings; give it"
            )
        if recipe.corpus.corpus_shards:
            raise XPTError(f"{where} reads two languages, and shards hold one; give --corpus")
        if kinds & set(PAIRS) and not recipe.source.parallel:
            raise XPTError(f"{where}: objective {phase.objective} needs --parallel, a file of sentence pairs")
        if SOURCE in kinds and not (recipe.source.source_text or recipe.source.parallel):
            raise XPTError(
                f"{where}: languages {phase.languages} needs text of the source's language; give "
                "--source_text or --parallel"
            )


@dataclass(frozen=True)
class OtherLanguage:
    """What was read of the source's language: its sentences, and pairs where phases read some."""

    sentences: list[str]
    parallel: ParallelText | None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all of it."""
        pairs = self.parallel.pairs if self.parallel else ()
        links = self.parallel.links if self.parallel else None
        return cache_key(*self.sentences, *map(repr, pairs), repr(links))

    @classmethod
    def read(cls, recipe: Recipe) -> "OtherLanguage | None":
        """None where no phase reads it. Raises `XPTError` for files that cannot be used."""
        kinds, source = streams_read(recipe), recipe.source
        if kinds == {TARGET}:
            return None
        parallel = read_parallel(source.parallel, source.alignments) if source.parallel else None
        lines = [
            line.strip() for path in source.source_text or () for line in read_lines(path, "--source_text")
        ]
        lines += [pair[0] for pair in parallel.pairs] if parallel else []
        return cls(list(dict.fromkeys(filter(None, lines))), parallel if kinds & set(PAIRS) else None)


@dataclass(frozen=True)
class Bilingual:
    """Training text beside the target language's own.

    Args:
        source: of the source's language.
        pairs: by direction.
        fingerprint: of what it was made from.
        left_out: pairs that are not used, by reason.
    """

    source: Examples
    pairs: dict[str, SentencePairs]
    fingerprint: str
    left_out: dict[str, int]

    def describe(self) -> dict[str, Any]:
        """Counts, for `results.json`."""
        used = next((len(pairs) for pairs in self.pairs.values()), 0)
        return {
            "fingerprint": self.fingerprint,
            "source_sentences": len(self.source.sentences),
            "pairs": used,
            "left_out": self.left_out,
        }

    def __str__(self) -> str:
        described = self.describe()
        told = [f"{described['source_sentences']:,} sentences of the source's language"]
        if self.pairs:
            told.append(f"{described['pairs']:,} sentence pairs")
        left_out = [
            f"{count:,} {reason.replace('_', ' ')}" for reason, count in self.left_out.items() if count
        ]
        return ", ".join(told) + (f"; left out: {', '.join(left_out)}" if left_out else "")

    def streams(self, packing: bool, seed: int) -> dict[str, RowSource]:
        """The rows of training on each, by its name."""
        rows = {name: pairs.rows(packing, seed) for name, pairs in self.pairs.items()}
        return {SOURCE: self.source.rows(packing, seed), **rows}

    def collator(self, own: MLMCollator, kinds: Collection[str]) -> TurnCollator:
        """What makes batches of the streams `kinds`, where `own` does of the target language's."""
        collators: dict[str, Collate] = {
            TARGET: own,
            SOURCE: replace(own, examples=self.source),
            **{direction: PairCollator(pairs, own.packing) for direction, pairs in self.pairs.items()},
        }
        theirs, ours = LANGUAGE_ROWS
        languages = {kind: row for kind, row in {SOURCE: theirs, TARGET: ours}.items() if kind in kinds}
        return TurnCollator(
            {kind: collators[kind] for kind in sorted(kinds)}, languages, self.source.special.pad
        )


def prepare_bilingual(
    other: OtherLanguage,
    tokenizer: PreTrainedTokenizerFast,
    held_out: Iterable[str],
    max_seq_length: int,
    cache: Path,
) -> Bilingual:
    """Encode the text and link the pairs, or open what the cache has of them.

    Pairs with a held-out sentence, an empty side or one that is too long to be linked are left out.

    Args:
        held_out: sentences of the target language.

    Raises:
        XPTError: nothing is left to read.
    """
    special, tokenizer_key = SpecialIds.of(tokenizer), tokenizer_fingerprint(tokenizer)

    def encoded(sentences: Sequence[str], said: str) -> EncodedSentences:
        folder = cache / "ids" / cache_key(tokenizer_key, *sentences)
        return encode_sentences(sentences, tokenizer, folder, f"Encoding {said}")

    source = Examples(encoded(other.sentences, "the source's language"), special, max_seq_length)
    if not len(source):
        raise XPTError("no text of the source's language is left; give more --source_text")
    if other.parallel is None:
        return Bilingual(source, {}, other.fingerprint, {})
    kept, left_out = _usable(other.parallel, set(held_out))
    there, here = (encoded([other.parallel.pairs[index][side] for index in kept], "pairs") for side in (0, 1))
    fit = [n for n in range(len(kept)) if 0 < len(there[n]) <= MAX_PIECES and 0 < len(here[n]) <= MAX_PIECES]
    left_out["too_long"] = len(kept) - len(fit)
    if not fit:
        raise XPTError("--parallel: no sentence pair can be used; give others")
    if len(fit) < len(kept):
        there, here = (EncodedSentences.of([side[n] for n in fit]) for side in (there, here))
    words = other.parallel.links and [other.parallel.links[kept[n]] for n in fit]
    key = cache_key(LINKS_BUILD, other.fingerprint, tokenizer_key, *map(str, fit))
    forward, backward = link_pairs(there, here, words, tokenizer, cache / "links" / key)
    pairs = {
        TO_TARGET: SentencePairs(there, here, *forward, special, max_seq_length, LANGUAGE_ROWS),
        TO_SOURCE: SentencePairs(here, there, *backward, special, max_seq_length, LANGUAGE_ROWS[::-1]),
    }
    return Bilingual(source, pairs, other.fingerprint, left_out)


def _usable(parallel: ParallelText, held_out: set[str]) -> tuple[list[int], dict[str, int]]:
    kept, left_out = [], {"empty": 0, "held_out": 0}
    for index, pair in enumerate(parallel.pairs):
        if not all(pair):
            left_out["empty"] += 1
        elif pair[1] in held_out:
            left_out["held_out"] += 1
        else:
            kept.append(index)
    return kept, left_out
