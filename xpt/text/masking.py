"""Rows become masked batches: each mask is a pure function of (seed, epoch, example, position).

Where the share of masked tokens follows a schedule, of the step too.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from xpt.text.examples import ExampleSet
from xpt.text.laying import lay_out
from xpt.text.packing import Row

IGNORE_INDEX = -100


def hash_uniform(
    seed: int, epoch: np.ndarray, example: np.ndarray, position: np.ndarray, draw: int
) -> np.ndarray:
    """Uniform numbers in [0, 1), one for each (epoch, example, position), without a generator's state.

    Counter-based: the SplitMix64 finalizer (Steele, Lea and Flood 2014) over the chained coordinates.
    """
    state = np.zeros(np.broadcast(epoch, example, position).shape, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for coordinate in (seed, draw, epoch, example, position):
            state = (state ^ np.asarray(coordinate).astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class MaskSchedule:
    """The share of masked tokens at each step of a phase: from `first` to `last`, the same change each step.

    The linear schedule of Ankner et al. 2024, who find a falling share better on GLUE than a fixed one.
    """

    first: float
    last: float
    steps: int

    def at(self, step: np.ndarray) -> np.ndarray:
        """The share at each of these steps, counted from 0; the last one has `last`."""
        return self.first + (self.last - self.first) * (step / max(self.steps - 1, 1))


def largest_share(share: float | MaskSchedule) -> float:
    """The share of the step that takes most memory."""
    return max(share.first, share.last) if isinstance(share, MaskSchedule) else share


@dataclass(frozen=True)
class MLMCollator:
    """Rows become `input_ids`, `labels`, `attention_mask` and, when packing, `position_ids`.

    Masking follows BERT and RoBERTa: a share `mlm_probability` of the ordinary tokens is chosen; of these
    80 % become `<mask>`, 10 % another ordinary token, 10 % stay. Packing does not change a sentence's masks.
    With packing, sentences of a row never see each other: `attention_mask` is boolean, block-diagonal, of
    shape (batch, 1, length, length), and positions restart at each sentence.

    The first is `first_position`, or where that is None RoBERTa's, which counts from the padding's id on.

    With `word_starts`, (vocab_size,) booleans, the pieces of a word are chosen together, as in BERT's
    whole-word masking of 2019: a word with the probability `mlm_probability`, so that the share of tokens
    is that too. What becomes of each chosen piece is drawn for it alone.
    """

    examples: ExampleSet
    mlm_probability: float | MaskSchedule
    seed: int
    packing: bool
    word_starts: np.ndarray | None = field(default=None, repr=False)
    first_position: int | None = None
    _ordinary: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.examples.special.mask is None:
            raise ValueError("a tokenizer without a mask masks nothing")
        object.__setattr__(self, "_ordinary", self.examples.special.ordinary_ids())

    def __call__(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        special = self.examples.special
        laid = lay_out(self.examples, rows, self.packing)
        segment, position = laid.segment, laid.position
        epoch = np.asarray([[row.epoch] for row in rows])
        masked_ids, labels = self._mask(laid.ids, epoch, laid.example, position, self._share(rows))
        batch = {"input_ids": torch.from_numpy(masked_ids), "labels": torch.from_numpy(labels)}
        if self.packing:
            seen = torch.from_numpy(segment)
            batch["attention_mask"] = seen[:, None, :, None] == seen[:, None, None, :]
            first = special.pad + 1 if self.first_position is None else self.first_position
            batch["position_ids"] = torch.from_numpy(
                np.where(segment > 0, position + first, max(first - 1, 0))
            )
        else:
            batch["attention_mask"] = torch.from_numpy((segment > 0).astype(np.int64))
        return batch

    def _share(self, rows: list[Row]) -> float | np.ndarray:
        """The share to mask: of all rows, or (rows, 1)."""
        if isinstance(self.mlm_probability, MaskSchedule):
            return self.mlm_probability.at(np.asarray([[row.step] for row in rows]))
        return self.mlm_probability

    def _word(self, ids: np.ndarray, position: np.ndarray) -> np.ndarray:
        """At each token the position of its word's first piece, by which the word is drawn.

        The frame and the first piece of an example start words whatever they are, so that no word reaches
        from one example into the next.
        """
        assert self.word_starts is not None
        starts = self.word_starts[ids] | (position <= 1)
        column = np.maximum.accumulate(np.where(starts, np.arange(ids.shape[1]), 0), axis=1)
        return np.take_along_axis(position, column, axis=1)

    def _mask(
        self,
        ids: np.ndarray,
        epoch: np.ndarray,
        example: np.ndarray,
        position: np.ndarray,
        share: float | np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        special, mask = self.examples.special, self.examples.special.mask
        assert mask is not None
        drawn_by = position if self.word_starts is None else self._word(ids, position)
        chosen = hash_uniform(self.seed, epoch, example, drawn_by, 0) < share
        chosen &= ~np.isin(ids, special.reserved)
        action = hash_uniform(self.seed, epoch, example, position, 1)
        drawn = (hash_uniform(self.seed, epoch, example, position, 2) * len(self._ordinary)).astype(np.int64)
        labels = np.where(chosen, ids, IGNORE_INDEX)
        masked = np.where(chosen & (action < 0.8), mask, ids)
        masked = np.where(chosen & (action >= 0.9), self._ordinary[drawn], masked)
        return masked, labels
