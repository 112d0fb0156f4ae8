"""Rows that are copies or mixes of the source's, from weights; and copies laid over any other start."""

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from xpt.transplant.embeddings.algebra import product
from xpt.transplant.embeddings.context import (
    COPIED,
    MIXED,
    RANDOM,
    EmbeddingContext,
    Start,
    mark_padding,
    without_padding,
)
from xpt.transplant.embeddings.matched import matched_rows
from xpt.transplant.embeddings.vocabulary import by_role


def mixed_start(
    context: EmbeddingContext,
    weights: sparse.csr_array,
    copies: Mapping[int, int],
    notes: tuple[str, ...] = (),
) -> Start:
    """Rows are `weights @ source`; special tokens are copied by role; what has no weight is as in `matched`.

    Args:
        weights: (vocab_size, source vocabulary); a row without any is left to `matched`.
        copies: target id -> source id; they count more than the weights.
        notes: of the method.
    """
    size = context.vocab_size
    has_weights = torch.from_numpy(np.diff(weights.indptr) > 0)
    mixes = product(weights.astype(np.float32), context.source_embeddings)
    matrix = torch.where(has_weights[:, None], mixes, matched_rows(context))
    kinds = np.where(has_weights.numpy(), MIXED, RANDOM)
    rest = Start(matrix, kinds, weights.astype(np.float32), notes)
    return with_copies(context, rest, {**copies, **by_role(*context.vocabularies())}, size)


def with_copies(context: EmbeddingContext, start: Start, copies: Mapping[int, int], size: int) -> Start:
    """The start with rows of the source in the place of some of its own, byte for byte."""
    copies = {one: other for one, other in copies.items() if one != context.special.pad}
    targets, sources = list(copies), list(copies.values())
    matrix, kinds = start.matrix.clone(), start.kinds.copy()
    matrix[targets] = context.source_embeddings[sources]
    kinds[targets] = COPIED
    keep = np.ones(size, dtype=np.float32)
    keep[[*targets, context.special.pad]] = 0
    shape = (size, len(context.source_embeddings))
    weights = sparse.csr_array((np.ones(len(targets), np.float32), (targets, sources)), shape=shape)
    if start.weights is not None:
        weights = weights + sparse.diags_array(keep) @ start.weights
    weights = sparse.csr_array(weights)
    weights.eliminate_zeros()
    return Start(without_padding(matrix, context), mark_padding(kinds, context), weights, start.notes)


def mixed_bias(start: Start, source_bias: Tensor) -> Tensor:
    """The source's output bias, mixed as the rows are (RAMEN, Tran 2020), (vocab_size,).

    Rows that are no mix get the source's mean.

    Raises:
        ValueError: the start mixes nothing.
    """
    if start.weights is None:
        raise ValueError("a start without weights mixes no output bias")
    mixed = torch.from_numpy(start.weights @ source_bias[: start.weights.shape[1]].numpy())
    has_weights = torch.from_numpy(np.diff(start.weights.indptr) > 0)
    return torch.where(has_weights, mixed, source_bias.mean())
