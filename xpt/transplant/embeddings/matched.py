"""Random start with the source's mean and deviation; where other methods say nothing, they use it."""

import torch
from torch import Tensor

from xpt.transplant.embeddings.algebra import one_thread
from xpt.transplant.embeddings.context import EmbeddingContext, Start, drawn
from xpt.transplant.embeddings.random import standard_normal


def matched_start(context: EmbeddingContext) -> Start:
    """Normal with the source's mean and standard deviation, dimension by dimension."""
    return drawn(matched_rows(context), context)


def matched_rows(context: EmbeddingContext) -> Tensor:
    """What `matched_start` draws, (vocab_size, hidden), the padding's row too."""
    with one_thread():
        deviation, mean = torch.std_mean(context.source_embeddings, dim=0)
    return standard_normal(context) * deviation + mean
