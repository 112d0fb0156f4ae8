"""Random start with the source's mean and full covariance (Mundra et al. 2024)."""

import torch

from xpt.transplant.embeddings.algebra import one_thread
from xpt.transplant.embeddings.context import EmbeddingContext, Start, drawn
from xpt.transplant.embeddings.random import standard_normal


def gaussian_start(context: EmbeddingContext) -> Start:
    """Multivariate normal with mean and covariance of the source's rows (Mundra et al. 2024).

    Dimensions vary together as they do in the source, so that a drawn row lies where the source's rows lie.
    """
    with one_thread():
        rows = context.source_embeddings.double()
        variances, axes = torch.linalg.eigh(rows.T.cov())
        # By eigenvectors, not by Cholesky: a vocabulary smaller than the width has a singular covariance.
        shape = (axes * variances.clamp(min=0).sqrt()).T  # (hidden, hidden)
        matrix = standard_normal(context).double() @ shape + rows.mean(dim=0)
    return drawn(matrix.float(), context)
