"""Cross-domain similarity local scaling (Conneau et al. 2018): neighbors without hubs, and what they tell.

All vectors are unit rows of one space; products go through torch on one thread.
"""

import torch
from torch import Tensor

from xpt.transplant.embeddings.algebra import ROWS, one_thread, procrustes, unit_rows

NEIGHBORS = 10  # by whose mean cosine a similarity is scaled


def mean_similarity(rows: Tensor, others: Tensor) -> Tensor:
    """Mean cosine of each row to its ten nearest `others`, (rows,)."""
    count = min(NEIGHBORS, len(others))
    with one_thread():
        parts = [(chunk @ others.T).topk(count, dim=1).values.mean(dim=1) for chunk in rows.split(ROWS)]
    return torch.cat(parts)


def nearest(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row the nearest of `others` by CSLS, and the cosine to it, (rows,) both.

    CSLS(x, y) = 2 cos(x, y) - r(x) - r(y), r the mean cosine to the ten nearest of the other side; r(x) is
    the same for all candidates of a row.
    """
    crowded = mean_similarity(others, rows)
    indices, cosines = [], []
    with one_thread():
        for chunk in rows.split(ROWS):
            scores = chunk @ others.T
            best = (2 * scores - crowded).argmax(dim=1)
            indices.append(best)
            cosines.append(scores.gather(1, best[:, None])[:, 0])
    return torch.cat(indices), torch.cat(cosines)


def criterion(rows: Tensor, others: Tensor) -> float:
    """Mean cosine of rows to their nearest by CSLS: how well two spaces lie on each other, without pairs."""
    return float(nearest(rows, others)[1].mean())


def mutual(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs that are each other's nearest by CSLS, (pairs,) both."""
    there, back = nearest(rows, others)[0], nearest(others, rows)[0]
    chosen = torch.nonzero(back[there] == torch.arange(len(rows)))[:, 0]
    return chosen, there[chosen]


def refined(moved: Tensor, fixed: Tensor, turn: Tensor, rounds: int = 5) -> Tensor:
    """The best of `turn`, (width, width), and those that mutual neighbors give in turn (Procrustes).

    Args:
        moved, fixed: frequent rows of both sides.
    """
    best, score = turn, criterion(unit_rows(moved @ turn), fixed)
    for _ in range(rounds):
        one, other = mutual(unit_rows(moved @ turn), fixed)
        if not len(one):
            break
        turn = procrustes(moved[one], fixed[other])
        now = criterion(unit_rows(moved @ turn), fixed)
        if now > score:
            best, score = turn, now
    return best
