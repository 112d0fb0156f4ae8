"""RAMEN (Tran 2020) and trans-tokenization (Remy et al. 2024): rows are mixes by translation counts."""

from collections import defaultdict

import numpy as np
from scipy import sparse

from xpt.transplant.embeddings.aligner import align_both
from xpt.transplant.embeddings.context import EmbeddingContext, ParallelText, Start
from xpt.transplant.embeddings.mixing import mixed_start
from xpt.transplant.embeddings.vocabulary import Vocabulary, same_meaning

Counts = defaultdict[tuple[int, int], float]  # of (target id, source id)


def align_start(context: EmbeddingContext) -> Start:
    """Each row is the mean of the source's rows, weighted by how often their pieces are linked.

    Links are those of `--alignments`, or found by the aligner here. There is no minimum count. A piece
    without letters or in a foreign script that the source has too counts as linked once; pieces without any
    link start as in `matched`, each of its own.

    Raises:
        ValueError: the context has no parallel text or no vocabularies.
    """
    if context.parallel is None:
        raise ValueError("this start needs parallel text")
    target, source = context.vocabularies()
    counts, notes = piece_counts(context.parallel, target, source)
    shape = (context.vocab_size, len(context.source_embeddings))
    for one, other in same_meaning(target, source).items():
        counts[one, other] += 1.0
    rows, columns = np.array(list(counts)).reshape(-1, 2).T
    table = sparse.csr_array((np.array(list(counts.values())), (rows, columns)), shape=shape)
    totals = table.sum(axis=1)
    weights = sparse.diags_array(1 / np.where(totals > 0, totals, 1)) @ table
    return mixed_start(context, sparse.csr_array(weights), {}, notes)


def piece_counts(
    text: ParallelText, target: Vocabulary, source: Vocabulary
) -> tuple[Counts, tuple[str, ...]]:
    """How often (target id, source id) are linked, special tokens left out, and a note."""
    if text.links is not None:
        return _word_counts(text, target, source), (
            f"links of {len(text.pairs):,} sentence pairs were given",
        )
    theirs = source.encode([pair[0] for pair in text.pairs])
    ours = target.encode([pair[1] for pair in text.pairs])
    links = align_both(list(zip(theirs, ours, strict=True)))
    counts: Counts = defaultdict(float)
    for index, found in links.items():
        for row, column in found:
            counts[ours[index][column], theirs[index][row]] += 1.0
    _drop_special(counts, target, source)
    return counts, (f"{len(links):,} of {len(text.pairs):,} sentence pairs were aligned here",)


def _word_counts(text: ParallelText, target: Vocabulary, source: Vocabulary) -> Counts:
    """Links of words, spread over their pieces: every piece of a target word counts once in all."""
    words: list[list[list[list[int]]]] = []
    for side, vocabulary in ((0, source), (1, target)):
        split = [pair[side].split() for pair in text.pairs]
        spelled = list(dict.fromkeys(word for sentence in split for word in sentence))
        ids = dict(zip(spelled, vocabulary.encode_words(spelled), strict=True))
        words.append([[ids[word] for word in sentence] for sentence in split])
    counts: Counts = defaultdict(float)
    for theirs, ours, links in zip(*words, text.links or [], strict=True):
        for row, column in links:
            for piece in ours[column]:
                for other in theirs[row]:
                    counts[piece, other] += 1 / len(theirs[row])
    _drop_special(counts, target, source)
    return counts


def _drop_special(counts: Counts, target: Vocabulary, source: Vocabulary) -> None:
    """Leave out what is no piece of text: unknown characters."""
    for one, other in list(counts):
        if target.pieces[one] is None or source.pieces[other] is None:
            del counts[one, other]
