"""What a start of the word embeddings may look at, and what it gives: one signature for all methods."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse
from torch import Tensor

from xpt.transplant.embeddings.vocabulary import Vocabulary

TENSOR_NAME = "roberta.embeddings.word_embeddings.weight"
OUTPUT_NAME = "lm_head.weight"  # of a decoder whose output matrix is its own
# What a row can be: the source's own, a mix of the source's, a vector of the text's own space, or drawn.
KINDS = ("copied", "mixed", "distributional", "random")
COPIED, MIXED, DISTRIBUTIONAL, RANDOM = range(len(KINDS))
PADDING = -1  # the padding's row is none of them: it is zero


class SpecialTokens(Protocol):
    """The target tokenizer's special ids, as far as weights depend on them."""

    @property
    def bos(self) -> int: ...

    @property
    def pad(self) -> int: ...

    @property
    def eos(self) -> int: ...

    @property
    def vocab_size(self) -> int: ...


@dataclass(frozen=True, eq=False)
class ParallelText:
    """Sentence pairs, the source's language first, and links between their words where they were given.

    Args:
        pairs: (sentence in the source's language, its translation).
        links: for each pair (source word, target word), words between white space counted from 0, or None.
    """

    pairs: list[tuple[str, str]]
    links: list[list[tuple[int, int]]] | None = None


@dataclass(frozen=True, eq=False)
class EmbeddingContext:
    """What a start may look at.

    Args:
        source_embeddings: the source's word embeddings, (source vocabulary, hidden), float32.
        vocab_size: rows to make.
        special: the target tokenizer's special ids; the padding row is always zero, as in RoBERTa.
        ids: token ids of the training split, flat, (tokens,); it may be memory-mapped. None: no text known.
        offsets: (examples + 1,); example i is `ids[offsets[i] : offsets[i + 1]]`.
        seed, tensor_name: together they decide every draw.
        initializer_range: standard deviation of the source's own random start.
        target, source: pieces and special tokens of both tokenizers, for methods that compare them.
        source_ids, source_offsets: a text in the source's language, as `ids` and `offsets` are the target's.
        dictionary: word pairs, the source's language first.
        parallel: sentence pairs.
        donor: word embeddings of a model of the target vocabulary, (vocab_size, its hidden), float32.
    """

    source_embeddings: Tensor
    vocab_size: int
    special: SpecialTokens
    ids: np.ndarray | None = None
    offsets: np.ndarray | None = None
    seed: int = 42
    tensor_name: str = TENSOR_NAME
    initializer_range: float = 0.02
    target: Vocabulary | None = None
    source: Vocabulary | None = None
    source_ids: np.ndarray | None = None
    source_offsets: np.ndarray | None = None
    dictionary: list[tuple[str, str]] | None = None
    parallel: ParallelText | None = None
    donor: Tensor | None = None

    @property
    def hidden_size(self) -> int:
        """Width of an embedding."""
        return self.source_embeddings.shape[1]

    def vocabularies(self) -> tuple[Vocabulary, Vocabulary]:
        """Target and source. Raises `ValueError` where the context has none."""
        if self.target is None or self.source is None:
            raise ValueError("this start needs the pieces of both tokenizers")
        return self.target, self.source


@dataclass(frozen=True, eq=False)
class Start:
    """Word embeddings at step 0.

    Args:
        matrix: (vocab_size, hidden), float32; the padding's row is zero.
        kinds: what each row is, an index into `KINDS`, or `PADDING`, (vocab_size,).
        weights: of the source's rows in each copied or mixed one, (vocab_size, source vocabulary); None where
            a method has no such rows. The output bias is mixed by the same weights.
        notes: what else is to be known, a sentence each.
    """

    matrix: Tensor
    kinds: np.ndarray
    weights: sparse.csr_array | None = None
    notes: tuple[str, ...] = ()

    def report(self, context: EmbeddingContext) -> dict[str, Any]:
        """Rows of each kind, their mean norms, and the source's beside them; in JSON's types."""
        norms = self.matrix.norm(dim=1).numpy()
        rows = {kind: self.kinds == number for number, kind in enumerate(KINDS)}
        return {
            "rows": {kind: int(chosen.sum()) for kind, chosen in rows.items()},
            "mean_norms": {
                kind: round(float(norms[chosen].mean()), 6) for kind, chosen in rows.items() if chosen.any()
            },
            "source_mean_norm": round(float(context.source_embeddings.norm(dim=1).mean()), 6),
            "notes": list(self.notes),
        }


def drawn(matrix: Tensor, context: EmbeddingContext) -> Start:
    """A start of which all rows but the padding's, which becomes zero, are drawn: as RoBERTa starts."""
    kinds = np.full(context.vocab_size, RANDOM)
    return Start(without_padding(matrix, context), mark_padding(kinds, context))


def without_padding(matrix: Tensor, context: EmbeddingContext) -> Tensor:
    """The same matrix, changed in place: nothing ever trains the padding's row as an input."""
    matrix[context.special.pad] = 0.0
    return matrix


def mark_padding(kinds: np.ndarray, context: EmbeddingContext) -> np.ndarray:
    """The same kinds, changed in place."""
    kinds[context.special.pad] = PADDING
    return kinds
