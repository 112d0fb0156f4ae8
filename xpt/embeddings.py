"""New word embeddings: one function a method, listed in `EMBEDDING_INITS`.

A method gets token ids of the training split and the source's embeddings, never text, and gives back a table
of (vocab_size, hidden). The padding row is zero, as RoBERTa's own start has it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

WINDOW = 5
CONTEXT_SMOOTHING = 0.75
MAX_TOKENS = 8_000_000  # of the training split that are counted; more change the vectors little
CHUNK = 2_000_000
MAIN = "roberta.embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class EmbeddingContext:
    """What a method may use.

    `source_embeddings` is (source vocabulary, hidden); `ids`, (tokens,), and `offsets`, (sentences + 1,), are
    the training split.
    """

    source_embeddings: torch.Tensor
    vocab_size: int
    pad: int
    ids: np.ndarray
    offsets: np.ndarray
    seed: int
    initializer_range: float

    def generator(self, name: str = MAIN) -> torch.Generator:
        """Depends on seed and name alone."""
        digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def random_embeddings(context: EmbeddingContext) -> torch.Tensor:
    """N(0, initializer_range): the paper's choice (Lee et al. 2021)."""
    shape = (context.vocab_size, context.source_embeddings.shape[1])
    table = torch.normal(0.0, context.initializer_range, shape, generator=context.generator())
    table[context.pad] = 0.0
    return table


def matched_embeddings(context: EmbeddingContext) -> torch.Tensor:
    """Random rows with the mean and standard deviation of each dimension of the source's rows."""
    source = context.source_embeddings
    shape = (context.vocab_size, source.shape[1])
    table = torch.randn(shape, generator=context.generator()) * source.std(0) + source.mean(0)
    table[context.pad] = 0.0
    return table


def static_embeddings(context: EmbeddingContext) -> torch.Tensor:
    """Distributional vectors of the training text, rotated at random into the source's place and scale.

    Positive pointwise mutual information of pieces within a sentence (Levy and Goldberg 2014), reduced by a
    truncated SVD to the hidden size, U sqrt(S); centered, rows of one length, a random rotation, scaled to
    the mean centered norm of the source's rows, their mean added. Pieces never seen start as `matched`.
    """
    source = context.source_embeddings
    hidden = source.shape[1]
    information = positive_pmi(cooccurrences(context.ids, context.offsets, context.vocab_size))
    rank = min(hidden, context.vocab_size - 1)
    seed = int(torch.randint(2**31, (1,), generator=context.generator("svd")))
    left, values, _ = randomized_svd(information, rank, n_iter=4, random_state=seed)
    vectors = np.zeros((context.vocab_size, hidden), dtype=np.float32)
    vectors[:, :rank] = left * np.sqrt(values)
    table = matched_embeddings(context)
    seen = np.asarray(information.getnnz(axis=1) > 0)
    seen[context.pad] = False
    found = torch.from_numpy(vectors[seen])
    found = torch.nn.functional.normalize(found - found.mean(0), dim=1)
    rotation = torch.linalg.qr(torch.randn(hidden, hidden, generator=context.generator("rotation"))).Q
    norm = (source - source.mean(0)).norm(dim=1).mean()
    table[torch.from_numpy(seen)] = found @ rotation * norm + source.mean(0)
    return table


def cooccurrences(ids: np.ndarray, offsets: np.ndarray, vocab_size: int) -> sparse.csr_matrix:
    """Symmetric counts of pieces within `WINDOW` of each other in a sentence, each worth 1 / distance."""
    stop = int(np.searchsorted(offsets, min(MAX_TOKENS, offsets[-1]), side="right")) - 1
    total = sparse.csr_matrix((vocab_size, vocab_size), dtype=np.float32)
    bounds = [*np.searchsorted(offsets, np.arange(0, int(offsets[stop]), CHUNK)).tolist(), stop]
    for first, last in pairwise(bounds):
        part = np.asarray(ids[offsets[first] : offsets[last]], dtype=np.int64)
        sentence = np.repeat(np.arange(last - first), np.diff(offsets[first : last + 1]))
        for distance in range(1, WINDOW + 1):
            same = sentence[distance:] == sentence[:-distance]
            pairs = part[:-distance][same], part[distance:][same]
            weights = np.full(len(pairs[0]), 1 / distance, dtype=np.float32)
            total += sparse.coo_matrix((weights, pairs), shape=total.shape).tocsr()
    return (total + total.T).tocsr()


def positive_pmi(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """max(0, log p(a, b) / (p(a) p'(b))) with the context distribution p' smoothed by a power."""
    pairs = counts.tocoo()
    rows = np.asarray(counts.sum(1), dtype=np.float64).ravel()
    smoothed = rows**CONTEXT_SMOOTHING
    with np.errstate(divide="ignore"):
        log_row, log_context = np.log(rows), np.log(smoothed / smoothed.sum())
    values = np.log(pairs.data.astype(np.float64)) - log_row[pairs.row] - log_context[pairs.col]
    kept = values > 0
    return sparse.csr_matrix(
        (values[kept].astype(np.float32), (pairs.row[kept], pairs.col[kept])), shape=counts.shape
    )


EMBEDDING_INITS: dict[str, Callable[[EmbeddingContext], torch.Tensor]] = {
    "random": random_embeddings,
    "matched": matched_embeddings,
    "static": static_embeddings,
}
