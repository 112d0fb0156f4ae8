"""Starts of the word embeddings for the target vocabulary: one file a method, one signature.

A start sees an `EmbeddingContext` (the source's embeddings, the text as token ids, both vocabularies, and
what files were given) and gives a `Start`: the matrix at step 0, which is input and, tied, output of the
model, and what each row is. To add a method, write such a function and enter it in `EMBEDDING_INITS`.
"""

from xpt.transplant.embeddings.context import (
    KINDS,
    EmbeddingContext,
    ParallelText,
    SpecialTokens,
    Start,
)
from xpt.transplant.embeddings.methods import EMBEDDING_INITS, Method
from xpt.transplant.embeddings.static import MAX_TOKENS
from xpt.transplant.embeddings.vocabulary import Vocabulary

__all__ = [
    "EMBEDDING_INITS",
    "KINDS",
    "MAX_TOKENS",
    "EmbeddingContext",
    "Method",
    "ParallelText",
    "SpecialTokens",
    "Start",
    "Vocabulary",
]
