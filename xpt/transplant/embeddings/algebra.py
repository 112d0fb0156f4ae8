"""Linear algebra that gives the same bytes however many threads there are.

Dense products go through torch on one thread (NumPy's are shared out by a library that nobody here can tell
to stop), sparse ones through SciPy, which has one thread.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from xpt.program.environment import available_cores

ROWS = 1024  # of a large product that are held at once
DIRECTION = 1e-4  # of the largest singular value: what is smaller is no direction but rounding


@contextmanager
def one_thread() -> Iterator[None]:
    """While open, torch's linear algebra adds up in one order, always the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def product(matrix: sparse.csr_array, dense: Tensor) -> Tensor:
    """(rows, width), columns shared out to threads, which changes no bit.

    SciPy's product takes one thread, and is three times as fast as torch's there.
    """
    blocks = np.array_split(dense.numpy(), available_cores(), axis=1)
    with ThreadPoolExecutor() as threads:
        return torch.from_numpy(np.hstack(list(threads.map(matrix.__matmul__, blocks))))


def unit_rows(matrix: Tensor) -> Tensor:
    """Rows of length 1; zero ones stay zero. Same shape."""
    return torch.nn.functional.normalize(matrix, dim=1)


def sparsemax(scores: Tensor) -> Tensor:
    """The nearest point of the simplex, row by row: weights of sum 1, many of them 0. Same shape.

    Martins and Astudillo 2016, algorithm 1. A score of -inf gets no weight.
    """
    ordered = scores.sort(dim=1, descending=True).values
    sums = ordered.cumsum(dim=1)
    counts = torch.arange(1, scores.shape[1] + 1, dtype=scores.dtype)
    support = (1 + counts * ordered > sums).sum(dim=1, keepdim=True)  # a prefix of the ordered scores
    threshold = (sums.gather(1, support - 1) - 1) / support
    return (scores - threshold).clamp(min=0)


def top_softmax(scores: Tensor, count: int, temperature: float) -> Tensor:
    """Softmax of the `count` largest scores in each row over `temperature`, 0 elsewhere. Same shape."""
    top = scores.topk(min(count, scores.shape[1]), dim=1)
    weights = torch.softmax(top.values / temperature, dim=1)
    return torch.zeros_like(scores).scatter_(1, top.indices, weights)


def procrustes(moved: Tensor, fixed: Tensor) -> Tensor:
    """The orthogonal W, (width, width), that minimizes |moved W - fixed| over rows (Schönemann 1966).

    Directions that the rows say nothing of, as where they are fewer than the width, are mapped to zero: any
    rotation of those would do, and chance would pick one.
    """
    with one_thread():
        left, sizes, right = torch.linalg.svd((moved.mT @ fixed).double())
        told = sizes > DIRECTION * sizes.max()
        return ((left * told) @ right).to(moved.dtype)
