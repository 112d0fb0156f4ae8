"""Spaces in which pieces are compared, and mixes of the source's rows by likeness in them."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from xpt.transplant.embeddings.algebra import ROWS, one_thread, procrustes, top_softmax, unit_rows
from xpt.transplant.embeddings.context import EmbeddingContext
from xpt.transplant.embeddings.static import static_vectors
from xpt.transplant.embeddings.vocabulary import Vocabulary

NEIGHBORS, TEMPERATURE = 10, 0.1  # WECHSEL's (Minixhofer et al. 2022)
OWN_SPACE = "source pieces are compared by the source's own embeddings; --source_text would give them vectors"


def target_space(context: EmbeddingContext) -> tuple[Tensor, Tensor]:
    """Unit vectors of the target's pieces from the training text, (vocab_size, hidden), and which have one.

    Raises:
        ValueError: the context has no text.
    """
    if context.ids is None or context.offsets is None:
        raise ValueError("this start needs the token ids of the training split")
    assert context.target is not None
    return _space(context, context.ids, context.offsets, context.target)


def source_space(context: EmbeddingContext) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Unit vectors of the source's pieces, (source vocabulary, hidden), which have one, and a note.

    They come from a text in the source's language, which the same counts make vectors of; without one they
    are the source's own embeddings.
    """
    assert context.source is not None
    if context.source_ids is not None and context.source_offsets is not None:
        vectors, seen = _space(context, context.source_ids, context.source_offsets, context.source)
        note = f"source pieces have vectors of --source_text ({int(seen.sum()):,} of {len(seen):,})"
        return vectors, seen, (note,)
    rows = context.source_embeddings
    seen = _ordinary(context.source, len(rows)) & (rows.norm(dim=1) > 0)
    return _placed(rows, seen), seen, (OWN_SPACE,)


def _space(
    context: EmbeddingContext, ids: np.ndarray, offsets: np.ndarray, vocabulary: Vocabulary
) -> tuple[Tensor, Tensor]:
    size = context.vocab_size if vocabulary is context.target else len(context.source_embeddings)
    vectors, seen = static_vectors(ids, offsets, size, context.hidden_size, context.seed)
    seen = seen & _ordinary(vocabulary, size)
    return _placed(vectors, seen), seen


def _placed(vectors: Tensor, seen: Tensor) -> Tensor:
    """Of length 1 around the mean of the seen ones, where likeness is not that of all to all; others zero."""
    with one_thread():
        mean = vectors[seen].mean(dim=0) if seen.any() else torch.zeros(vectors.shape[1])
        return unit_rows(vectors - mean) * seen[:, None]


def _ordinary(vocabulary: Vocabulary, size: int) -> Tensor:
    """Which ids are pieces of text, (size,), bool."""
    has_text = [piece is not None for piece in vocabulary.pieces[:size]]
    return torch.tensor(has_text + [False] * (size - len(has_text)))


def word_vectors(
    vocabulary: Vocabulary, words: list[str], vectors: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """A vector of each word, the mean of its pieces', (words, hidden), and in how many pieces, (words,).

    A word with a piece that has no vector counts 0 pieces: it cannot be found.
    """
    encoded = vocabulary.encode_words(words)
    known = seen.numpy()
    counts = np.array([len(ids) if ids and known[ids].all() else 0 for ids in encoded], dtype=np.int64)
    flat = [index for ids, count in zip(encoded, counts, strict=True) if count for index in ids]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    values = np.repeat(1 / np.maximum(counts, 1), counts).astype(np.float32)
    means = sparse.csr_array((values, flat, offsets), shape=(len(words), len(vectors)))
    return torch.from_numpy(means @ vectors.numpy()), torch.from_numpy(counts)


def aligned(source: Tensor, target: Tensor, pairs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Source vectors turned so that pairs (source rows, target rows) lie on each other, and the target's.

    Both are unit vectors of the directions that the pairs tell of. Same shapes.
    """
    with one_thread():
        turn = procrustes(unit_rows(pairs[0]), unit_rows(pairs[1]))
        return unit_rows(source @ turn), unit_rows(target @ (turn.mT @ turn))


def nearest_mix(target: Tensor, target_seen: Tensor, source: Tensor, source_seen: Tensor) -> sparse.csr_array:
    """Weights of the source's rows in each target row: softmax over the ten nearest by cosine (WECHSEL).

    Args:
        target, source: unit vectors in one space, (vocab_size, hidden) and (source vocabulary, hidden).
        target_seen, source_seen: which rows have a vector; others get no weights.

    Returns:
        (vocab_size, source vocabulary); rows sum to 1 or are empty.
    """
    rows, columns = (torch.nonzero(seen)[:, 0] for seen in (target_seen, source_seen))
    shape = (len(target), len(source))
    if not len(columns):
        return sparse.csr_array(shape, dtype=np.float32)
    parts, candidates = [], source[columns].T.contiguous()
    with one_thread():
        for chunk in rows.split(ROWS):
            scores = target[chunk] @ candidates
            parts.append(sparse.csr_array(top_softmax(scores, NEIGHBORS, TEMPERATURE).numpy()))
    return spread(parts, rows, columns, shape)


def spread(
    parts: list[sparse.csr_array], rows: Tensor, columns: Tensor, shape: tuple[int, int]
) -> sparse.csr_array:
    """Weights between chosen rows and columns, chunk by chunk, in their places of the whole."""
    if not parts:
        return sparse.csr_array(shape, dtype=np.float32)
    whole = sparse.vstack(parts).tocoo()
    row, column = whole.row, whole.col
    placed = (whole.data, (rows.numpy()[row], columns.numpy()[column]))
    return sparse.csr_array(placed, shape=shape)
