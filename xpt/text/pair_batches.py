"""Rows of sentence pairs, and of masked text beside them, become one batch.

Masked text is a pair with itself: its order is its own, and its masked tokens alone are predicted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xpt.text.lengths import padded_length
from xpt.text.masking import IGNORE_INDEX
from xpt.text.packing import Row
from xpt.text.pairs import Pair, SentencePairs
from xpt.text.special_tokens import SpecialIds

Batch = dict[str, torch.Tensor]
Collate = Callable[[list[Row]], Batch]
# What fills up a batch that is narrower than one it is joined with; ids take padding.
FILLERS = {"labels": IGNORE_INDEX, "attention_mask": 0, "target_attention_mask": 0, "alignment": 0}


@dataclass(frozen=True)
class PairCollator:
    """Rows of pairs as `TreLMRobertaForMaskedLM` reads them; see `collate_pairs`."""

    pairs: SentencePairs
    packing: bool

    def __call__(self, rows: list[Row]) -> Batch:
        read = [[self.pairs[index] for index in row.examples] for row in rows]
        batch = collate_pairs(read, self.pairs.special, self.pairs.max_seq_length, self.packing)
        source, target = (torch.full((len(rows), 1), language) for language in self.pairs.languages)
        return {**batch, "language_ids": source, "target_language_ids": target}


def collate_pairs(
    rows: Sequence[Sequence[Pair]], special: SpecialIds, max_length: int, packing: bool
) -> Batch:
    """One batch of rows of pairs.

    Nothing attends to a slot of padding. With packing, pairs of a row do not see each other either, and
    positions restart at each.

    Args:
        rows: the pairs of each row; one, without packing.
        max_length: the model's limit, and with packing the length; without, one of few below it.

    Returns:
        `input_ids`, `alignment`, `labels`, all (rows, length); `attention_mask` and `target_attention_mask`,
        (rows, length) or, with packing, (rows, 1, length, length), and then `position_ids` and
        `target_position_ids` too.
    """
    longest = max(max(len(pair.source), len(pair.order)) for row in rows for pair in row)
    shape = (len(rows), max_length if packing else padded_length(longest, max_length))
    ids, labels = np.full(shape, special.pad), np.full(shape, IGNORE_INDEX)
    order = np.zeros(shape, dtype=np.int64)
    seen, target_seen = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)  # pairs from 1 on
    slots = np.zeros(shape, dtype=bool)
    places, target_places = np.full(shape, special.pad), np.full(shape, special.pad)
    for r, row in enumerate(rows):
        begin = target_begin = 0
        for number, pair in enumerate(row, 1):
            end, target_end = begin + len(pair.source), target_begin + len(pair.order)
            ids[r, begin:end], seen[r, begin:end] = pair.source, number
            slots[r, end - 1] = True
            places[r, begin : end - 1] = special.pad + 1 + np.arange(len(pair.source) - 1)
            order[r, target_begin:target_end] = begin + pair.order
            labels[r, target_begin:target_end] = pair.labels
            target_seen[r, target_begin:target_end] = number
            target_places[r, target_begin:target_end] = special.pad + 1 + np.arange(len(pair.order))
            begin, target_begin = end, target_end
    arrays = {"input_ids": ids, "alignment": order, "labels": labels}
    if packing:
        keys = np.where(slots, -1, seen)
        arrays["attention_mask"] = seen[:, None, :, None] == keys[:, None, None, :]
        arrays["target_attention_mask"] = target_seen[:, None, :, None] == target_seen[:, None, None, :]
        arrays |= {"position_ids": places, "target_position_ids": target_places}
    else:
        arrays["attention_mask"] = ((seen > 0) & ~slots).astype(np.int64)
        arrays["target_attention_mask"] = (target_seen > 0).astype(np.int64)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@dataclass(frozen=True)
class TurnCollator:
    """Rows of several streams become one batch.

    Args:
        collators: of each stream's rows, by its name.
        languages: of streams of masked text, rows of the language table.
        pad: the id that fills up.
    """

    collators: Mapping[str, Collate]
    languages: Mapping[str, int]
    pad: int

    def __call__(self, rows: list[Row]) -> Batch:
        batches, pairs = [], set(self.collators) - set(self.languages)
        for kind, collate in self.collators.items():
            of_kind = [row for row in rows if row.kind == kind]
            if not of_kind:
                continue
            batch = collate(of_kind)
            if kind in self.languages:
                batch["language_ids"] = torch.full((len(of_kind), 1), self.languages[kind])
                batch = with_itself(batch) if pairs else batch
            batches.append(batch)
        return join(batches, self.pad)


def with_itself(batch: Batch) -> Batch:
    """Masked text as pairs with itself."""
    rows, length = batch["input_ids"].shape
    batch = {**batch, "alignment": torch.arange(length).expand(rows, length)}
    of_target = ("attention_mask", "position_ids", "language_ids")
    return batch | {f"target_{name}": batch[name] for name in of_target if name in batch}


def join(batches: Sequence[Batch], pad: int) -> Batch:
    """Batches of the same entries one below the other, narrower ones filled up."""
    length = max(batch["input_ids"].shape[1] for batch in batches)

    def filled(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() != 2 or tensor.shape[1] in (1, length):  # a language; packed rows have all one length
            return tensor
        return torch.nn.functional.pad(tensor, (0, length - tensor.shape[1]), value=FILLERS.get(name, pad))

    return {name: torch.cat([filled(name, batch[name]) for batch in batches]) for name in batches[0]}
