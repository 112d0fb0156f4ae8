"""FOCUS (Dobler and de Melo 2023): the overlap is copied, other rows are mixes of the overlap's."""

import torch
from scipy import sparse

from xpt.transplant.embeddings.algebra import ROWS, one_thread, sparsemax
from xpt.transplant.embeddings.context import EmbeddingContext, Start
from xpt.transplant.embeddings.mixing import mixed_start
from xpt.transplant.embeddings.spaces import spread, target_space
from xpt.transplant.embeddings.vocabulary import identical_pieces


def focus_start(context: EmbeddingContext) -> Start:
    """Identical pieces are copied; the rest mixes them by sparsemax over cosines in vectors of the text.

    Every piece that the text shows beside another has a vector: there is no minimum count. Where the overlap
    is punctuation, digits and foreign words, as between Korean and English, it has little to say.

    Raises:
        ValueError: the context has no text or no vocabularies.
    """
    copies = identical_pieces(*context.vocabularies())
    vectors, seen = target_space(context)
    anchors = torch.tensor([one for one in copies if seen[one]], dtype=torch.long)
    inside = torch.zeros(context.vocab_size, dtype=torch.bool)
    inside[list(copies)] = True
    rows = torch.nonzero(seen & ~inside)[:, 0]
    parts = []
    if len(anchors):
        with one_thread():
            for chunk in rows.split(ROWS):
                weights = sparsemax(vectors[chunk] @ vectors[anchors].T)
                parts.append(sparse.csr_array(weights.numpy()))
    columns = torch.tensor([copies[one] for one in anchors.tolist()], dtype=torch.long)
    shape = (context.vocab_size, len(context.source_embeddings))
    note = f"{len(anchors):,} of {len(copies):,} identical pieces stand in the text and are mixed from"
    return mixed_start(context, spread(parts, rows, columns, shape), copies, (note,))
