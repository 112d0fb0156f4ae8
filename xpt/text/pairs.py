"""Sentence pairs become batches for cross-lingual language modeling (CdLM, Li et al. 2021).

The model reads the source's sentence and predicts every token of its translation, each in the place of the
source token that an alignment links it to. A slot of padding behind the source stands for target tokens that
translate nothing. Text of one language fits the same batch: its order is its own, and its masked tokens alone
are predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xpt.program.errors import XPTError
from xpt.text.lengths import padded_length
from xpt.text.masking import IGNORE_INDEX
from xpt.text.special_tokens import SpecialIds

Links = Sequence[tuple[int, int]]  # (source position, target position), from 0 on, without the frame


@dataclass(frozen=True)
class Pair:
    """One text in the order of another.

    Args:
        source: (source length,) ids with the frame and, last, the slot of padding.
        order: (target length,) places in `source`, one for each target token.
        labels: (target length,) ids to be predicted, -100 elsewhere.
        languages: of source and target, rows of the language table.
    """

    source: np.ndarray
    order: np.ndarray
    labels: np.ndarray
    languages: tuple[int, int]


def translation_pair(
    source: np.ndarray,
    target: np.ndarray,
    links: Links,
    special: SpecialIds,
    max_length: int,
    languages: tuple[int, int],
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
    source_kept, target_kept = source[: max_length - 3], target[: max_length - 2]
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
    return Pair(framed, order, labels, languages)


def monolingual_pair(masked: np.ndarray, labels: np.ndarray, special: SpecialIds, language: int) -> Pair:
    """A masked text as a pair with itself.

    Args:
        masked: ids with the frame, some of them masked.
        labels: of the same length, true ids where a token is to be predicted, -100 elsewhere.
    """
    source = np.concatenate((masked, [special.pad]))
    return Pair(source, np.arange(len(masked)), labels, (language, language))


def collate_pairs(pairs: Sequence[Pair], special: SpecialIds, max_length: int) -> dict[str, torch.Tensor]:
    """What `TreLMRobertaForMaskedLM` reads: one batch, whatever its pairs are.

    Args:
        pairs: the rows.
        max_length: the model's limit; lengths are rounded up to one of few below it.

    Returns:
        `input_ids`, `attention_mask` (rows, source length), `alignment`, `labels`, `target_attention_mask`
        (rows, target length), `language_ids`, `target_language_ids` (rows, 1).
    """
    longest = max(max(len(pair.source), len(pair.order)) for pair in pairs)
    length = padded_length(longest, max_length)
    ids = np.full((len(pairs), length), special.pad, dtype=np.int64)
    seen, target_seen = np.zeros_like(ids), np.zeros_like(ids)
    order, labels = np.zeros_like(ids), np.full_like(ids, IGNORE_INDEX)
    for row, pair in enumerate(pairs):
        ids[row, : len(pair.source)] = pair.source
        seen[row, : len(pair.source) - 1] = 1  # nothing attends to the slot of padding
        order[row] = len(pair.source) - 1
        order[row, : len(pair.order)] = pair.order
        target_seen[row, : len(pair.order)] = 1
        labels[row, : len(pair.labels)] = pair.labels
    languages = np.asarray([pair.languages for pair in pairs], dtype=np.int64)
    arrays = {
        "input_ids": ids,
        "attention_mask": seen,
        "language_ids": languages[:, :1],
        "alignment": order,
        "target_attention_mask": target_seen,
        "target_language_ids": languages[:, 1:],
        "labels": labels,
    }
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
