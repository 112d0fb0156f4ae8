"""Token ids become masked, packed batches; everything is a pure function of (seed, epoch, example index).

Text flows: `EncodedSentences` -> `Examples` (long sentences cut) -> `RowStream` (which examples stand in
row k, over all epochs) -> `MLMCollator` (tensors, masks). A run resumed at row k therefore sees what an
undisturbed run sees, whatever the number of workers, processes or accumulation steps.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from xpt.encoding import EncodedSentences
from xpt.sizes import padded_length
from xpt.special_tokens import frame_of, id_count, special_ids, unused_ids

IGNORE_INDEX = -100
PACKING_WINDOW = (
    4096  # shuffled sentences packed together: < 2 % of the tokens are padding, order stays random
)


@dataclass(frozen=True)
class SpecialIds:
    """The ids that batching treats specially; `reserved` are never masked nor drawn as a replacement.

    `bos` and `eos` stand around each text: `<s>` and `</s>`, or BERT's `[CLS]` and `[SEP]`.
    """

    bos: int
    pad: int
    eos: int
    mask: int
    vocab_size: int
    reserved: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "SpecialIds":
        """Read them from a tokenizer that `load_tokenizer` gave or `train_tokenizer` made."""
        frame = frame_of(tokenizer)
        if frame is None:
            raise ValueError("the tokenizer does not put one token before and one behind a text")
        return cls(
            bos=frame[0],
            pad=tokenizer.pad_token_id,
            eos=frame[1],
            mask=tokenizer.mask_token_id,
            vocab_size=id_count(tokenizer),
            reserved=tuple(sorted(special_ids(tokenizer) | unused_ids(tokenizer))),
        )

    def ordinary_ids(self) -> np.ndarray:
        """All ids but the reserved ones, shape (vocab_size - len(reserved),)."""
        return np.setdiff1d(np.arange(self.vocab_size), self.reserved)


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

    def rows(self, packing: bool, seed: int) -> "RowSource":
        """The rows of training on them."""

    def sample(self, tokens: int) -> EncodedSentences:
        """Sentences of at least so many tokens, evenly chosen, or all there are."""


class RowSource(Protocol):
    """Row k of training for every k >= 0, a pure function of the seed: what a run reads and counts."""

    @property
    def rows_in_epoch(self) -> int:
        """Of the first; others differ by a few where each is packed anew."""

    @property
    def tokens_in_epoch(self) -> int:
        """Real ones, `<s>` and `</s>` included."""

    def __getitem__(self, index: int) -> "Row": ...

    def tokens(self, start: int, stop: int) -> int:
        """Real tokens, `<s>` and `</s>` included and padding not, in rows start..stop-1."""


class Examples:
    """Sentences as the model reads them: `<s> ids </s>`, at most `max_seq_length` tokens.

    A longer sentence is cut into several examples: none of its text is lost.
    """

    def __init__(self, sentences: EncodedSentences, special: SpecialIds, max_seq_length: int):
        self.sentences, self.special, self.max_seq_length = sentences, special, max_seq_length
        room = max_seq_length - 2
        starts, stops = sentences.offsets[:-1], sentences.offsets[1:]
        pieces = -(-(stops - starts) // room)
        within = np.arange(int(pieces.sum())) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        self.starts = np.repeat(starts, pieces) + within * room
        self.lengths = (np.minimum(np.repeat(stops, pieces) - self.starts, room) + 2).astype(np.int32)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> np.ndarray:
        start = self.starts[index]
        ids = self.sentences.ids[start : start + self.lengths[index] - 2]
        return np.concatenate(([self.special.bos], ids, [self.special.eos]))

    def lengths_of(self, indices: np.ndarray) -> np.ndarray:
        return self.lengths[indices]

    def rows(self, packing: bool, seed: int) -> "RowStream":
        return RowStream(self.lengths, self.max_seq_length, packing, seed)

    def sample(self, tokens: int) -> EncodedSentences:
        return self.sentences  # all lie here; who needs fewer chooses


def pack(lengths: np.ndarray, capacity: int) -> list[list[int]]:
    """Best-fit decreasing: rows of positions into `lengths` whose lengths sum to at most `capacity`.

    An integer serves as the set of free spaces, so that finding the tightest row takes one bit operation.
    """
    rows: list[list[int]] = []
    rows_with_space: list[list[int]] = [[] for _ in range(capacity + 1)]
    spaces = 0
    for position in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[position])
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            row = rows_with_space[space].pop()
            if not rows_with_space[space]:
                spaces &= ~(1 << space)
            rows[row].append(position)
        else:
            space, row = capacity, len(rows)
            rows.append([position])
        rows_with_space[space - length].append(row)
        spaces |= 1 << (space - length)
    return rows


@dataclass(frozen=True)
class EpochPlan:
    """Which examples stand in which row of one epoch: row r is `order[bounds[r] : bounds[r + 1]]`."""

    order: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def row(self, index: int) -> np.ndarray:
        return self.order[self.bounds[index] : self.bounds[index + 1]]


def plan_epoch(lengths: np.ndarray, capacity: int, packing: bool, seed: int, epoch: int) -> EpochPlan:
    """Shuffle the examples of one epoch and lay them into rows of at most `capacity` tokens."""
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = random.permutation(len(lengths))
    if not packing:
        return EpochPlan(order, np.arange(len(lengths) + 1))
    placed, sizes = [], []
    for start in range(0, len(order), PACKING_WINDOW):
        window = order[start : start + PACKING_WINDOW]
        rows = pack(lengths[window], capacity)
        for index in random.permutation(len(rows)):
            placed.append(window[rows[index]])
            sizes.append(len(rows[index]))
    return EpochPlan(np.concatenate(placed), np.concatenate(([0], np.cumsum(sizes))))


@dataclass(frozen=True)
class Row:
    """One row of a batch: the examples that stand in it, and the epoch that seeds their masks."""

    epoch: int
    examples: np.ndarray


class RowStream:
    """Row k of training, for every k >= 0: epoch after epoch, each shuffled and packed anew."""

    def __init__(self, lengths: np.ndarray, capacity: int, packing: bool, seed: int):
        self.lengths, self.capacity, self.packing, self.seed = lengths, capacity, packing, seed
        self._first_row = [0]  # of each epoch, as far as known
        self._plans: dict[int, EpochPlan] = {}

    @property
    def rows_in_epoch(self) -> int:
        return len(plan_epoch(self.lengths, self.capacity, self.packing, self.seed, 0))

    @property
    def tokens_in_epoch(self) -> int:
        return int(self.lengths.sum())

    def _plan(self, epoch: int) -> EpochPlan:
        if epoch not in self._plans:
            plan = plan_epoch(self.lengths, self.capacity, self.packing, self.seed, epoch)
            # A batch may span two epochs, so the one before stays.
            self._plans = {known: self._plans[known] for known in self._plans if known == epoch - 1}
            self._plans[epoch] = plan
        return self._plans[epoch]

    def __getitem__(self, index: int) -> Row:
        while self._first_row[-1] <= index:
            epoch = len(self._first_row) - 1
            self._first_row.append(self._first_row[-1] + len(self._plan(epoch)))
        epoch = int(np.searchsorted(self._first_row, index, side="right")) - 1
        return Row(epoch, self._plan(epoch).row(index - self._first_row[epoch]))

    def tokens(self, start: int, stop: int) -> int:
        return sum(int(self.lengths[self[index].examples].sum()) for index in range(start, stop))


class PhaseRows(Dataset):
    """The rows of one phase, in order: `steps * rows_per_step` rows of the stream from `first_row` on."""

    def __init__(self, stream: RowSource, first_row: int, count: int):
        self.stream, self.first_row, self.count = stream, first_row, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Row:
        return self.stream[self.first_row + index]


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
class MLMCollator:
    """Rows become `input_ids`, `labels`, `attention_mask` and, when packing, `position_ids`.

    Masking follows BERT and RoBERTa: a share `mlm_probability` of the ordinary tokens is chosen; of these
    80 % become `<mask>`, 10 % another ordinary token, 10 % stay. Packing does not change a sentence's masks.
    With packing, sentences of a row never see each other: `attention_mask` is boolean, block-diagonal, of
    shape (batch, 1, length, length), and positions restart at each sentence.
    """

    examples: ExampleSet
    mlm_probability: float
    seed: int
    packing: bool
    _ordinary: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ordinary", self.examples.special.ordinary_ids())

    def __call__(self, rows: list[Row]) -> dict[str, torch.Tensor]:
        special = self.examples.special
        length = self._padded_length(rows)
        shape = (len(rows), length)
        ids = np.full(shape, special.pad, dtype=np.int64)
        segment = np.zeros(shape, dtype=np.int64)  # 0 is padding; sentences count from 1
        example = np.zeros(shape, dtype=np.int64)
        position = np.zeros(shape, dtype=np.int64)
        for r, row in enumerate(rows):
            start = 0
            for number, index in enumerate(row.examples, 1):
                tokens = self.examples[index]
                stop = start + len(tokens)
                ids[r, start:stop], segment[r, start:stop], example[r, start:stop] = tokens, number, index
                position[r, start:stop] = np.arange(len(tokens))
                start = stop
        epoch = np.asarray([[row.epoch] for row in rows])
        masked_ids, labels = self._mask(ids, epoch, example, position)
        batch = {"input_ids": torch.from_numpy(masked_ids), "labels": torch.from_numpy(labels)}
        if self.packing:
            seen = torch.from_numpy(segment)
            batch["attention_mask"] = seen[:, None, :, None] == seen[:, None, None, :]
            batch["position_ids"] = torch.from_numpy(
                np.where(segment > 0, position + special.pad + 1, special.pad)
            )
        else:
            batch["attention_mask"] = torch.from_numpy((segment > 0).astype(np.int64))
        return batch

    def _padded_length(self, rows: list[Row]) -> int:
        if self.packing:
            return self.examples.max_seq_length
        longest = max(int(self.examples.lengths_of(row.examples).sum()) for row in rows)
        return padded_length(longest, self.examples.max_seq_length)

    def _mask(
        self, ids: np.ndarray, epoch: np.ndarray, example: np.ndarray, position: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        special = self.examples.special
        chosen = hash_uniform(self.seed, epoch, example, position, 0) < self.mlm_probability
        chosen &= ~np.isin(ids, special.reserved)
        action = hash_uniform(self.seed, epoch, example, position, 1)
        drawn = (hash_uniform(self.seed, epoch, example, position, 2) * len(self._ordinary)).astype(np.int64)
        labels = np.where(chosen, ids, IGNORE_INDEX)
        masked = np.where(chosen & (action < 0.8), special.mask, ids)
        masked = np.where(chosen & (action >= 0.9), self._ordinary[drawn], masked)
        return masked, labels
