"""The table of starts: which function, which files it needs, and what else it looks at."""

from collections.abc import Callable
from dataclasses import dataclass

from xpt.transplant.embeddings.adversarial import adversarial_start
from xpt.transplant.embeddings.align import align_start
from xpt.transplant.embeddings.context import EmbeddingContext, Start
from xpt.transplant.embeddings.dictionary import dictionary_start
from xpt.transplant.embeddings.focus import focus_start
from xpt.transplant.embeddings.gaussian import gaussian_start
from xpt.transplant.embeddings.matched import matched_start
from xpt.transplant.embeddings.omp import omp_start
from xpt.transplant.embeddings.overlap import overlap_start
from xpt.transplant.embeddings.procrustes import procrustes_start
from xpt.transplant.embeddings.random import random_start
from xpt.transplant.embeddings.static import static_start


@dataclass(frozen=True)
class Method:
    """One way to start the word embeddings.

    Args:
        start: a function of the context alone.
        needs: options that must be given with it.
        takes: options that may be given with it.
        compares: whether it looks at the pieces of both tokenizers, so that the source's must be there; only
            then its rows are mixes, by which the output bias can be mixed too.
    """

    start: Callable[[EmbeddingContext], Start]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    compares: bool = False


EMBEDDING_INITS: dict[str, Method] = {
    "random": Method(random_start),
    "matched": Method(matched_start),
    "gaussian": Method(gaussian_start),
    "static": Method(static_start),
    "focus": Method(focus_start, compares=True),
    "dictionary": Method(dictionary_start, ("dictionary",), ("source_text",), True),
    "align": Method(align_start, ("parallel",), ("alignments",), True),
    "procrustes": Method(procrustes_start, takes=("source_text",), compares=True),
    "adversarial": Method(adversarial_start, takes=("source_text",), compares=True),
    "omp": Method(omp_start, ("donor",), compares=True),
}


def overlap_with(rest: str) -> Method:
    """The overlap copied over another method's start."""
    other = EMBEDDING_INITS[rest]
    return Method(
        lambda context: overlap_start(context, other.start), other.needs, (*other.takes, "overlap_rest"), True
    )


OVERLAP_REST = ("matched", *(name for name in EMBEDDING_INITS if name != "matched"))
EMBEDDING_INITS["overlap"] = overlap_with(OVERLAP_REST[0])


def method_of(name: str, overlap_rest: str = OVERLAP_REST[0]) -> Method:
    """The method of these options."""
    return overlap_with(overlap_rest) if name == "overlap" else EMBEDDING_INITS[name]
