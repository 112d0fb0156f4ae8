"""Sparse mixes, coefficients from a donor (matching pursuit, Goddard and Fernandes Neto 2025).

A donor is any model of the target vocabulary. In its space each new piece is written as a combination of few
pieces that the source has too; the same combination of the source's rows is the new row.
"""

import torch
from scipy import sparse
from torch import Tensor

from xpt.program.errors import XPTError
from xpt.transplant.embeddings.algebra import one_thread
from xpt.transplant.embeddings.context import EmbeddingContext, Start
from xpt.transplant.embeddings.mixing import mixed_start
from xpt.transplant.embeddings.spaces import spread
from xpt.transplant.embeddings.vocabulary import identical_pieces

ATOMS = 64  # pieces that a row is made of, at most; the authors' choice
ROWS = 256  # that are looked for at once
RIDGE = 1e-6  # on the diagonal of the atoms' products, relative: two atoms may be alike


def omp_start(context: EmbeddingContext) -> Start:
    """Identical pieces are copied; the rest are sparse combinations of them, which need not be convex.

    Raises:
        ValueError: the context has no donor or no vocabularies.
        XPTError: no piece is identical.
    """
    if context.donor is None:
        raise ValueError("this start needs a donor's embeddings")
    target, source = context.vocabularies()
    copies = identical_pieces(target, source)
    if not copies:
        raise XPTError("--embedding_init omp: no piece is spelled as one of the source, so nothing is mixed")
    anchors = torch.tensor(list(copies))
    text = torch.tensor([piece is not None for piece in target.pieces])
    text[anchors] = False
    rows = torch.nonzero(text)[:, 0]
    donor = context.donor.double()
    parts = []
    with one_thread():
        for chunk in rows.split(ROWS):
            parts.append(sparse.csr_array(pursue(donor[chunk], donor[anchors], ATOMS).float().numpy()))
    columns = torch.tensor(list(copies.values()))
    shape = (context.vocab_size, len(context.source_embeddings))
    note = f"mixes of up to {min(ATOMS, len(copies))} of {len(copies):,} identical pieces"
    return mixed_start(context, spread(parts, rows, columns, shape), copies, (note,))


def pursue(vectors: Tensor, atoms: Tensor, count: int) -> Tensor:
    """Coefficients of at most `count` atoms that come near each vector, (vectors, atoms).

    Orthogonal matching pursuit (Pati et al. 1993): the atom most like what is left is added, and all
    coefficients are fitted anew. Both in float64.
    """
    lengths = atoms.norm(dim=1).clamp(min=1e-12)
    units = atoms / lengths[:, None]
    products, wanted = units @ units.T, vectors @ units.T  # (atoms, atoms), (vectors, atoms)
    chosen = torch.zeros(len(vectors), 0, dtype=torch.long)
    left = wanted.clone()
    fitted = torch.zeros(len(vectors), 0, dtype=vectors.dtype)
    for size in range(1, min(count, len(atoms)) + 1):
        best = left.abs().scatter(1, chosen, -1.0).argmax(dim=1, keepdim=True)
        chosen = torch.cat([chosen, best], dim=1)
        gram = products[chosen[:, :, None], chosen[:, None, :]] + RIDGE * torch.eye(size, dtype=atoms.dtype)
        fitted = torch.linalg.solve(gram, wanted.gather(1, chosen)[:, :, None])[:, :, 0]
        placed = torch.zeros_like(wanted).scatter_(1, chosen, fitted)
        left = wanted - placed @ products
    return torch.zeros_like(wanted).scatter_(1, chosen, fitted) / lengths
