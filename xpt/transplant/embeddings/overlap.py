"""Overlap start: identical pieces are copied, the rest starts as another method says."""

from collections.abc import Callable

from xpt.transplant.embeddings.context import EmbeddingContext, Start
from xpt.transplant.embeddings.mixing import with_copies
from xpt.transplant.embeddings.vocabulary import by_role, identical_pieces


def overlap_start(context: EmbeddingContext, rest: Callable[[EmbeddingContext], Start]) -> Start:
    """Pieces that both vocabularies spell alike, and special tokens by role, are copied (de Vries 2021).

    Args:
        context: with both vocabularies.
        rest: the start of all other rows.
    """
    target, source = context.vocabularies()
    copies = {**identical_pieces(target, source), **by_role(target, source)}
    return with_copies(context, rest(context), copies, context.vocab_size)
