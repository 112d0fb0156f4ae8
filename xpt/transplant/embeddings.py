"""New word embeddings for the target vocabulary: one function a method.

What passes through: the source's embeddings (only their statistics count, for no English piece stands for a
Korean one) and, for `static`, the token ids of the training split; out comes the matrix at step 0, which is
input and, tied, output of the model. To add a method, write a function of an `EmbeddingContext` and enter
it in `EMBEDDING_INITS`.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from xpt.program.environment import available_cores
from xpt.program.seeding import seeded_generator

TENSOR_NAME = "roberta.embeddings.word_embeddings.weight"

WINDOW = 5  # tokens to each side that count as context, weighted by 1 / distance
CONTEXT_SMOOTHING = 0.75  # flattens the contexts' frequencies; less would let rare contexts rule the PMI
CHUNK_TOKENS = 1_000_000  # counted at a time
MAX_TOKENS = 20_000_000  # beyond it, evenly chosen examples: memory is bounded, and vectors hardly change
OVERSAMPLING, POWER_ITERATIONS = 10, 2  # of the randomized SVD, as Halko et al. 2011 recommend


class SpecialTokens(Protocol):
    """The target tokenizer's special ids, as far as weights depend on them."""

    @property
    def bos(self) -> int: ...

    @property
    def pad(self) -> int: ...

    @property
    def eos(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...


@dataclass(frozen=True, eq=False)
class EmbeddingContext:
    """What an initialization may look at.

    Args:
        source_embeddings: the source's word embeddings, (source vocabulary, hidden), float32.
        vocab_size: rows to make.
        special: the target tokenizer's special ids; the padding row is always zero, as in RoBERTa.
        ids: token ids of the training split, flat, (tokens,); it may be memory-mapped. None: no text known.
        offsets: (examples + 1,); example i is `ids[offsets[i] : offsets[i + 1]]`.
        seed: together with a tensor's name it decides every draw.
        initializer_range: standard deviation of the source's own random start.
    """

    source_embeddings: Tensor
    vocab_size: int
    special: SpecialTokens
    ids: np.ndarray | None = None
    offsets: np.ndarray | None = None
    seed: int = 42
    initializer_range: float = 0.02

    @property
    def hidden_size(self) -> int:
        """Width of an embedding."""
        return self.source_embeddings.shape[1]


def random_embeddings(context: EmbeddingContext) -> Tensor:
    """N(0, initializer_range), as RoBERTa starts (Lee et al. 2021): (vocab_size, hidden), float32."""
    return _without_padding(_normal(context) * context.initializer_range, context)


def matched_embeddings(context: EmbeddingContext) -> Tensor:
    """Normal with the source's mean and standard deviation, dimension by dimension: (vocab_size, hidden)."""
    return _without_padding(_matched(context), context)


def static_embeddings(context: EmbeddingContext) -> Tensor:
    """Distributional vectors of the text, at the place and scale of the source's: (vocab_size, hidden).

    Co-occurrence counts, positive pointwise mutual information, truncated SVD (Levy and Goldberg 2014), then
    a random rotation, since the dimensions have nothing to do with the source's. Ids that the text does not
    show are as in `matched`. The same bytes come out however many threads there are.

    Raises:
        ValueError: the context has no text.
    """
    if context.ids is None or context.offsets is None:
        raise ValueError("static embeddings need the token ids of the training split")
    counts = cooccurrences(context.ids, context.offsets, context.vocab_size)
    with _one_thread():
        ppmi = positive_pmi(counts)
        vectors = _left_singular(ppmi, context)  # (vocab_size, hidden)
        seen = torch.from_numpy(np.diff(ppmi.indptr) > 0)  # (vocab_size,)
        mean = context.source_embeddings.mean(dim=0)
        radius = (context.source_embeddings - mean).norm(dim=1).mean()
        vectors = torch.nn.functional.normalize(vectors - vectors[seen].mean(dim=0), dim=1)
        placed = vectors @ _rotation(context) * radius + mean
    return _without_padding(torch.where(seen[:, None], placed, _matched(context)), context)


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
    row, column = pairs.coords
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


def _left_singular(matrix: sparse.csr_array, context: EmbeddingContext) -> Tensor:
    """U sqrt(S) of the truncated SVD, (vocab_size, hidden); a matrix of lower rank leaves columns zero.

    Randomized SVD (Halko et al. 2011, algorithms 4.4 and 5.1). SciPy's solver takes five times as long, and
    so does torch.svd_lowrank, which multiplies by a sparse transpose.
    """
    size, hidden = matrix.shape[0], context.hidden_size
    transposed = matrix.T.tocsr()
    width = min(hidden + OVERSAMPLING, size)
    generator = seeded_generator(context.seed, f"{TENSOR_NAME}/svd")
    sample = _product(matrix, torch.randn(size, width, generator=generator))
    for _ in range(POWER_ITERATIONS):
        sample = _product(transposed, torch.linalg.qr(sample).Q)
        sample = _product(matrix, torch.linalg.qr(sample).Q)
    basis = torch.linalg.qr(sample).Q  # (vocab_size, width)
    _, singular, right = torch.linalg.svd(_product(transposed, basis), full_matrices=False)
    vectors = (basis @ right.mT * singular.sqrt())[:, :hidden]
    return torch.nn.functional.pad(vectors, (0, hidden - vectors.shape[1]))


def _product(matrix: sparse.csr_array, dense: Tensor) -> Tensor:
    """(rows, width), columns shared out to threads, which changes no bit.

    SciPy's product takes one thread, and is three times as fast as torch's there.
    """
    blocks = np.array_split(dense.numpy(), available_cores(), axis=1)
    with ThreadPoolExecutor() as threads:
        return torch.from_numpy(np.hstack(list(threads.map(matrix.__matmul__, blocks))))


def _rotation(context: EmbeddingContext) -> Tensor:
    """A random orthogonal matrix, (hidden, hidden)."""
    generator = seeded_generator(context.seed, f"{TENSOR_NAME}/rotation")
    drawn = torch.randn(context.hidden_size, context.hidden_size, generator=generator)
    return torch.linalg.qr(drawn).Q


def _matched(context: EmbeddingContext) -> Tensor:
    with _one_thread():
        deviation, mean = torch.std_mean(context.source_embeddings, dim=0)
    return _normal(context) * deviation + mean


def _normal(context: EmbeddingContext) -> Tensor:
    """Standard normal, (vocab_size, hidden)."""
    generator = seeded_generator(context.seed, TENSOR_NAME)
    return torch.randn(context.vocab_size, context.hidden_size, generator=generator)


def _without_padding(embeddings: Tensor, context: EmbeddingContext) -> Tensor:
    """With the padding's row zero, as RoBERTa starts; nothing ever trains it as an input."""
    embeddings[context.special.pad] = 0.0
    return embeddings


@contextmanager
def _one_thread() -> Iterator[None]:
    """While open, torch's linear algebra adds up in one order, always the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


EMBEDDING_INITS: dict[str, Callable[[EmbeddingContext], Tensor]] = {
    "random": random_embeddings,
    "matched": matched_embeddings,
    "static": static_embeddings,
}
