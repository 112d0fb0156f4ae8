"""Distributional start: vectors of the target text, at the place and scale of the source's.

From token ids to co-occurrence counts, positive pointwise mutual information and a truncated SVD, whose
vectors other methods compare pieces by.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from xpt.program.seeding import seeded_generator
from xpt.transplant.embeddings.algebra import one_thread, product
from xpt.transplant.embeddings.context import (
    DISTRIBUTIONAL,
    RANDOM,
    TENSOR_NAME,
    EmbeddingContext,
    Start,
    mark_padding,
    without_padding,
)
from xpt.transplant.embeddings.matched import matched_rows

WINDOW = 5  # tokens to each side that count as context, weighted by 1 / distance
CONTEXT_SMOOTHING = 0.75  # flattens the contexts' frequencies; less would let rare contexts rule the PMI
CHUNK_TOKENS = 1_000_000  # counted at a time
MAX_TOKENS = 20_000_000  # beyond it, evenly chosen examples: memory is bounded, and vectors hardly change
OVERSAMPLING, POWER_ITERATIONS = 10, 2  # of the randomized SVD, as Halko et al. 2011 recommend


def static_start(context: EmbeddingContext) -> Start:
    """Distributional vectors of the text, at the place and scale of the source's.

    Co-occurrence counts, positive pointwise mutual information, truncated SVD (Levy and Goldberg 2014), then
    a random rotation, since the dimensions have nothing to do with the source's. Ids that the text does not
    show are as in `matched`. The same bytes come out however many threads there are.

    Raises:
        ValueError: the context has no text.
    """
    if context.ids is None or context.offsets is None:
        raise ValueError("static embeddings need the token ids of the training split")
    vectors, seen = static_vectors(
        context.ids, context.offsets, context.vocab_size, context.hidden_size, context.seed
    )
    with one_thread():
        mean = context.source_embeddings.mean(dim=0)
        radius = (context.source_embeddings - mean).norm(dim=1).mean()
        vectors = torch.nn.functional.normalize(vectors - vectors[seen].mean(dim=0), dim=1)
        placed = vectors @ _rotation(context) * radius + mean
    matrix = torch.where(seen[:, None], placed, matched_rows(context))
    kinds = np.where(seen.numpy(), DISTRIBUTIONAL, RANDOM)
    return Start(without_padding(matrix, context), mark_padding(kinds, context))


def static_vectors(
    ids: np.ndarray, offsets: np.ndarray, vocab_size: int, width: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Vectors that are near where pieces stand in like company (Levy and Goldberg 2014).

    Args:
        ids, offsets: of a text, as in `EmbeddingContext`.
        vocab_size: larger than every id.
        width: of a vector.
        seed: of the SVD's random projection.

    Returns:
        U sqrt(S) of the positive PMI, (vocab_size, width), and which ids have company, (vocab_size,), bool.
    """
    counts = cooccurrences(ids, offsets, vocab_size)
    with one_thread():
        ppmi = positive_pmi(counts)
        vectors = _left_singular(ppmi, width, seed)
    return vectors, torch.from_numpy(np.diff(ppmi.indptr) > 0)


def cooccurrences(ids: np.ndarray, offsets: np.ndarray, vocab_size: int) -> sparse.csr_array:
    """How often two ids stand near each other within an example, nearer pairs counting more.

    Args:
        ids, offsets: as in `EmbeddingContext`.
        vocab_size: larger than every id.

    Returns:
        (vocab_size, vocab_size), symmetric, float32: sums of 1 / distance over pairs within `WINDOW`.
    """
    shape = (vocab_size, vocab_size)
    total = sparse.csr_array(shape, dtype=np.float32)
    for tokens, example in _chunks(ids, offsets):
        for distance in range(1, WINDOW + 1):
            together = example[distance:] == example[:-distance]
            left, right = tokens[:-distance][together], tokens[distance:][together]
            weights = np.full(len(left), 1 / distance, dtype=np.float32)
            total = total + sparse.csr_array((weights, (left, right)), shape=shape)
    return (total + total.T).tocsr()


def positive_pmi(counts: sparse.csr_array) -> sparse.csr_array:
    """Positive pointwise mutual information of co-occurrence counts, same shape, contexts smoothed."""
    frequencies = counts.sum(axis=1)  # (vocab_size,)
    contexts = frequencies**CONTEXT_SMOOTHING
    contexts = contexts / max(contexts.sum(), 1e-30)
    pairs = counts.tocoo()
    row, column = pairs.row, pairs.col
    values = np.log(pairs.data / (frequencies[row] * contexts[column]))
    keep = values > 0
    kept = (values[keep].astype(np.float32), (row[keep], column[keep]))
    return sparse.csr_array(kept, shape=counts.shape)


def _chunks(ids: np.ndarray, offsets: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens and the number of the example each belongs to, (chunk,) both, whole examples at a time."""
    examples = len(offsets) - 1
    every = -(-int(offsets[-1]) // MAX_TOKENS)  # the step that leaves at most about MAX_TOKENS
    start = 0
    while start < examples:
        stop = int(np.searchsorted(offsets, offsets[start] + CHUNK_TOKENS, side="right")) - 1
        stop = min(max(stop, start + 1), examples)
        tokens = np.asarray(ids[offsets[start] : offsets[stop]]).astype(np.int64)
        example = np.repeat(np.arange(start, stop), np.diff(offsets[start : stop + 1]))
        if every > 1:
            chosen = example % every == 0
            tokens, example = tokens[chosen], example[chosen]
        yield tokens, example
        start = stop


def _left_singular(matrix: sparse.csr_array, hidden: int, seed: int) -> Tensor:
    """U sqrt(S) of the truncated SVD, (vocab_size, hidden); a matrix of lower rank leaves columns zero.

    Randomized SVD (Halko et al. 2011, algorithms 4.4 and 5.1). SciPy's solver takes five times as long, and
    so does torch.svd_lowrank, which multiplies by a sparse transpose.
    """
    size = matrix.shape[0]
    transposed = matrix.T.tocsr()
    width = min(hidden + OVERSAMPLING, size)
    generator = seeded_generator(seed, f"{TENSOR_NAME}/svd")
    sample = product(matrix, torch.randn(size, width, generator=generator))
    for _ in range(POWER_ITERATIONS):
        sample = product(transposed, torch.linalg.qr(sample).Q)
        sample = product(matrix, torch.linalg.qr(sample).Q)
    basis = torch.linalg.qr(sample).Q  # (vocab_size, width)
    _, singular, right = torch.linalg.svd(product(transposed, basis), full_matrices=False)
    vectors = (basis @ right.mT * singular.sqrt())[:, :hidden]
    return torch.nn.functional.pad(vectors, (0, hidden - vectors.shape[1]))


def _rotation(context: EmbeddingContext) -> Tensor:
    """A random orthogonal matrix, (hidden, hidden)."""
    generator = seeded_generator(context.seed, f"{TENSOR_NAME}/rotation")
    drawn = torch.randn(context.hidden_size, context.hidden_size, generator=generator)
    return torch.linalg.qr(drawn).Q
