"""The scale of new rows: mixes are shorter than what they are mixed from."""

import numpy as np
from torch import Tensor

from xpt.transplant.embeddings.context import COPIED, KINDS, EmbeddingContext, Start


def scaled_to_source(start: Start, context: EmbeddingContext) -> Start:
    """Rows of each kind times one factor, so that their mean norm is the source's; copied ones stay."""
    wanted = context.source_embeddings.norm(dim=1).mean()
    matrix = start.matrix.clone()
    for kind in range(len(KINDS)):
        rows = np.flatnonzero(start.kinds == kind)
        if kind != COPIED and len(rows):
            matrix[rows] *= _factor(wanted, matrix[rows])
    note = (
        f"rows that are no copies have the source's mean norm, {float(wanted):.3g} (--embedding_scale source)"
    )
    return Start(matrix, start.kinds, start.weights, (*start.notes, note))


def scaled_by(start: Start, factor: float, note: str) -> Start:
    """All rows times one factor."""
    return Start(start.matrix * factor, start.kinds, start.weights, (*start.notes, note))


def _factor(wanted: Tensor, rows: Tensor) -> float:
    mean = float(rows.norm(dim=1).mean())
    return float(wanted) / mean if mean > 0 else 1.0
