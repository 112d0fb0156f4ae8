"""Sentences of ids become examples: framed by `<s>` and `</s>`, long ones cut."""

from typing import Protocol

import numpy as np

from xpt.text.encoding import EncodedSentences
from xpt.text.packing import RowSource, RowStream
from xpt.text.special_tokens import SpecialIds


class ExampleSet(Protocol):
    """Examples by number, wherever they lie: what rows, masks and a run need of a training split."""

    @property
    def special(self) -> SpecialIds: ...

    @property
    def max_seq_length(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray:
        """Its ids with `<s>` and `</s>`, (length,)."""

    def lengths_of(self, indices: np.ndarray) -> np.ndarray:
        """Tokens of the examples of a row, `<s>` and `</s>` included: shape as `indices`, int32."""

    def rows(self, packing: bool, seed: int) -> RowSource:
        """The rows of training on them."""

    def sample(self, tokens: int) -> EncodedSentences:
        """Sentences of at least so many tokens, evenly chosen, or all there are."""


class Examples:
    """Sentences as the model reads them: `<s> ids </s>`, at most `max_seq_length` tokens.

    A longer sentence is cut into several examples: none of its text is lost.
    """

    def __init__(self, sentences: EncodedSentences, special: SpecialIds, max_seq_length: int):
        self.sentences, self.special, self.max_seq_length = sentences, special, max_seq_length
        content = max_seq_length - 2
        starts, stops = sentences.offsets[:-1], sentences.offsets[1:]
        pieces = -(-(stops - starts) // content)
        within = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self.starts = np.repeat(starts, pieces) + within * content
        self.lengths = (np.minimum(np.repeat(stops, pieces) - self.starts, content) + 2).astype(np.int32)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> np.ndarray:
        start = self.starts[index]
        ids = self.sentences.ids[start : start + self.lengths[index] - 2]
        return np.concatenate(([self.special.bos], ids, [self.special.eos]))

    def lengths_of(self, indices: np.ndarray) -> np.ndarray:
        return self.lengths[indices]

    def rows(self, packing: bool, seed: int) -> RowStream:
        return RowStream(self.lengths, self.max_seq_length, packing, seed)

    def sample(self, tokens: int) -> EncodedSentences:
        return self.sentences  # all lie here; who needs fewer chooses
