"""Random start, as RoBERTa's own (Lee et al. 2021)."""

import torch
from torch import Tensor

from xpt.program.seeding import seeded_generator
from xpt.transplant.embeddings.context import EmbeddingContext, Start, drawn


def random_start(context: EmbeddingContext) -> Start:
    """N(0, initializer_range), as RoBERTa starts (Lee et al. 2021)."""
    return drawn(standard_normal(context) * context.initializer_range, context)


def standard_normal(context: EmbeddingContext) -> Tensor:
    """Standard normal, (vocab_size, hidden); the same for every method."""
    generator = seeded_generator(context.seed, context.tensor_name)
    return torch.randn(context.vocab_size, context.hidden_size, generator=generator)
