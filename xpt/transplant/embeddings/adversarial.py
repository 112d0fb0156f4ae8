"""TreLM's start (Li et al. 2021): vectors of the text are turned onto the source's space without any pair."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from xpt.program.errors import XPTError
from xpt.transplant.embeddings.adversarial_map import JUDGED, align_spaces
from xpt.transplant.embeddings.algebra import one_thread, unit_rows
from xpt.transplant.embeddings.context import TENSOR_NAME, EmbeddingContext, Start
from xpt.transplant.embeddings.mixing import mixed_start
from xpt.transplant.embeddings.spaces import nearest_mix, source_space, target_space
from xpt.transplant.embeddings.vocabulary import WORD, Vocabulary, same_meaning

FEWEST = 20  # rows of a side that a game can be played with


def adversarial_start(context: EmbeddingContext) -> Start:
    """Each row mixes the ten source rows that its vector is nearest to after an adversarial rotation.

    Frequent pieces play and are judged: of the text by their counts, of the source by those of
    `--source_text` or, without, in the order of its ids, where its tokenizer has the more frequent ones first
    and the alphabet is put last. The rows are mixes, not the turned vectors themselves as in TreLM, so that
    they have the source's scale. Ids decide nothing: pieces are numbered anew before vectors are made.

    Raises:
        ValueError: the context has no text or no vocabularies.
        XPTError: too few pieces have vectors.
    """
    target_vocabulary, source_vocabulary = context.vocabularies()
    if context.ids is None:
        raise ValueError("this start needs the token ids of the training split")
    order = by_frequency(np.bincount(context.ids, minlength=context.vocab_size), target_vocabulary)
    sorted_target, sorted_seen = target_space(_renumbered(context, order))
    target, target_seen = torch.zeros_like(sorted_target), torch.zeros_like(sorted_seen)
    target[order], target_seen[order] = sorted_target, sorted_seen
    source, source_seen, notes = source_space(context)
    theirs = _source_order(context, source_vocabulary, len(source))
    theirs = theirs[source_seen.numpy()[theirs]]
    moved, fixed = sorted_target[sorted_seen], source[torch.from_numpy(theirs)]
    if min(len(moved), len(fixed)) < FEWEST:
        raise XPTError(
            f"--embedding_init adversarial: only {len(moved):,} pieces of the text and {len(fixed):,} of the "
            "source have vectors; give more text, or another start"
        )
    found = align_spaces(moved, fixed, context.seed, f"{TENSOR_NAME}/adversarial")
    with one_thread():
        turned: Tensor = unit_rows(target @ found.turn)
    notes += (
        f"mean cosine of the {min(JUDGED, len(moved)):,} most frequent pieces to their nearest of the source "
        f"by CSLS: {found.criterion:.3f}, after a random rotation {found.chance:.3f}; near that, the spaces "
        "were not aligned, and well above it is no proof that words lie on their translations",
    )
    weights = nearest_mix(turned, target_seen, source, source_seen)
    return mixed_start(context, weights, same_meaning(target_vocabulary, source_vocabulary), notes)


def by_frequency(counts: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Ids, the most frequent first, equal ones by their spelling and role, (ids,)."""
    roles = {index: role for role, index in vocabulary.roles.items()}
    pieces = [*vocabulary.pieces, *[None] * (len(counts) - len(vocabulary.pieces))]
    keys = [(-int(count), pieces[i] or "", roles.get(i, "")) for i, count in enumerate(counts)]
    return np.asarray(sorted(range(len(counts)), key=keys.__getitem__), dtype=np.int64)


def _renumbered(context: EmbeddingContext, order: np.ndarray) -> EmbeddingContext:
    """The context as if `order[i]` were id i, so that other ids give the same bytes at other places."""
    assert context.target is not None and context.ids is not None
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    pieces = [*context.target.pieces, *[None] * (len(order) - len(context.target.pieces))]
    renamed = replace(
        context.target,
        pieces=tuple(pieces[index] for index in order),
        roles={role: int(places[index]) for role, index in context.target.roles.items()},
    )
    return replace(context, ids=places.astype(np.uint32)[np.asarray(context.ids)], target=renamed)


def _source_order(context: EmbeddingContext, vocabulary: Vocabulary, size: int) -> np.ndarray:
    """The source's ids, the most frequent first as far as that is known, (size,)."""
    if context.source_ids is not None:
        return by_frequency(np.bincount(context.source_ids, minlength=size), vocabulary)
    pieces = [*vocabulary.pieces, *[None] * (size - len(vocabulary.pieces))]
    alphabet = np.asarray([len((piece or "").removeprefix(WORD)) < 2 for piece in pieces])
    return np.argsort(alphabet, kind="stable")
