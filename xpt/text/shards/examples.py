"""Shards as training sees them: examples by number, those of one shard behind those of the one before."""

from collections import OrderedDict
from typing import Any

import numpy as np

from xpt.text.encoding import EncodedSentences
from xpt.text.examples import Examples
from xpt.text.shards.rows import ShardedRows
from xpt.text.shards.store import ShardStore
from xpt.text.shards.writing import joined
from xpt.text.special_tokens import SpecialIds

_OPEN_SHARDS = 32  # mapped at once; their lengths take 12 bytes an example


class ShardedExamples:
    """The examples of all shards, `<s> ids </s>` of at most `max_seq_length` tokens; an `ExampleSet`."""

    def __init__(self, store: ShardStore, special: SpecialIds, max_seq_length: int):
        self.store, self.special, self.max_seq_length = store, special, max_seq_length
        self.shards = store.index.shards
        # Of each shard the different lengths of its examples and their counts.
        self.histograms = [shard.example_lengths(max_seq_length) for shard in self.shards]
        self.first_example = np.cumsum([0, *(int(counts.sum()) for _, counts in self.histograms)])
        self._open: OrderedDict[int, Examples] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_open": OrderedDict()}  # a copy maps what it reads itself

    def __len__(self) -> int:
        return int(self.first_example[-1])

    def __getitem__(self, index: int) -> np.ndarray:
        shard = self.shard_of(index)
        return self.of_shard(shard)[int(index - self.first_example[shard])]

    def shard_of(self, index: int) -> int:
        """Which shard an example is in."""
        return int(np.searchsorted(self.first_example, index, side="right")) - 1

    def of_shard(self, shard: int) -> Examples:
        """The examples of one shard, counted from 0; fetched where they are not here."""
        if shard not in self._open:
            sentences = self.store.open(self.shards[shard])
            self._open[shard] = Examples(sentences, self.special, self.max_seq_length)
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(shard)
        return self._open[shard]

    def lengths_of(self, indices: np.ndarray) -> np.ndarray:
        """Tokens of examples of one shard, `<s>` and `</s>` included: shape as `indices`, int32."""
        shard = self.shard_of(indices[0])
        return self.of_shard(shard).lengths[indices - self.first_example[shard]]

    def rows(self, packing: bool, seed: int) -> ShardedRows:
        return ShardedRows(self, packing, seed)

    def sample(self, tokens: int) -> EncodedSentences:
        """The first shards: which one a sentence is in is chance."""
        parts: list[EncodedSentences] = []
        for shard in self.shards:
            if sum(len(part.ids) for part in parts) < tokens:
                parts.append(self.store.open(shard))
        return joined(parts)
