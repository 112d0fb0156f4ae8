"""Sentence pairs for cross-lingual language modeling (CdLM, Li et al. 2021).

The model reads the source's sentence and predicts every token of its translation, each in the place of the
source token that an alignment links it to. A slot of padding behind the source stands for target tokens that
translate nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from xpt.program.errors import XPTError
from xpt.text.encoding import EncodedSentences
from xpt.text.packing import RowStream
from xpt.text.special_tokens import SpecialIds

Links = Iterable[tuple[int, int]]  # (source position, target position), from 0 on, without the frame
SOURCE_FRAME, TARGET_FRAME = 3, 2  # tokens that are no text: `<s>`, `</s>`, and the slot of padding


@dataclass(frozen=True)
class Pair:
    """One text in the order of another.

    Args:
        source: (source length,) ids with the frame and, last, the slot of padding.
        order: (target length,) places in `source`, one for each target token.
        labels: (target length,) ids to be predicted.
    """

    source: np.ndarray
    order: np.ndarray
    labels: np.ndarray


def translation_pair(
    source: np.ndarray, target: np.ndarray, links: Links, special: SpecialIds, max_length: int
) -> Pair:
    """A sentence and its translation, every token of which is predicted, those of the frame too.

    Of several links to a target token the last one holds. What is beyond `max_length` is cut off, with the
    links to it.

    Args:
        source, target: ids without frame.
        links: between their positions; the frames are linked with one another.
        max_length: most positions of source and target alike, frame and slot of padding included.

    Raises:
        XPTError: a link points beyond its sentence.
    """
    source_kept, target_kept = source[: max_length - SOURCE_FRAME], target[: max_length - TARGET_FRAME]
    framed = np.concatenate(([special.bos], source_kept, [special.eos, special.pad]))
    labels = np.concatenate(([special.bos], target_kept, [special.eos]))
    order = np.full(len(labels), len(framed) - 1)
    order[0], order[-1] = 0, len(framed) - 2
    for there, here in links:
        if not (0 <= there < len(source) and 0 <= here < len(target)):
            raise XPTError(
                f"a link {there}-{here} points beyond its pair of {len(source)} and {len(target)} tokens"
            )
        if there < len(source_kept) and here < len(target_kept):
            order[here + 1] = there + 1
    return Pair(framed, order, labels)


@dataclass(frozen=True)
class SentencePairs:
    """Pairs by number, in one direction.

    Args:
        source, target: ids without frame, as many sentences in one as in the other.
        links: (links, 2), positions in source and target, pair after pair.
        link_offsets: (pairs + 1,), where those of each pair begin.
        special: ids of the frame.
        max_seq_length: most positions of either side.
        languages: of source and target, rows of the language table.
    """

    source: EncodedSentences
    target: EncodedSentences
    links: np.ndarray
    link_offsets: np.ndarray
    special: SpecialIds
    max_seq_length: int
    languages: tuple[int, int]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Pair:
        links = self.links[self.link_offsets[index] : self.link_offsets[index + 1]].tolist()
        source, target = self.source[index], self.target[index]
        return translation_pair(source, target, links, self.special, self.max_seq_length)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each pair's longer side, the frame and the slot included, (pairs,) int32."""
        longer = np.maximum(
            np.diff(self.source.offsets) + SOURCE_FRAME, np.diff(self.target.offsets) + TARGET_FRAME
        )
        return np.minimum(longer, self.max_seq_length).astype(np.int32)

    def rows(self, packing: bool, seed: int) -> RowStream:
        """The rows of training on them; several pairs share one where they are packed."""
        return RowStream(self.lengths, self.max_seq_length, packing, seed)
