"""The second baseline of an evaluation: what a model is worth that reads another sentence."""

from typing import Any

import numpy as np
import torch

from xpt.text.examples import Examples
from xpt.text.masking import IGNORE_INDEX
from xpt.text.packing import Row


class OtherContexts:
    """Gives each sentence the visible ordinary tokens of another one, under a seeded derangement.

    Visible is what is not masked; to a causal model all of a text is, and labels stay the sentence's own.
    """

    def __init__(self, examples: Examples, collator: Any, seed: int, causal: bool):
        self.examples, self.collator, self.causal = examples, collator, causal
        self.reserved = examples.special.reserved
        # Each sentence takes the next one's tokens in a random cycle: a permutation without a fixed point.
        cycle = np.random.Generator(np.random.Philox(seed)).permutation(len(examples))
        self.other = np.empty_like(cycle)
        self.other[cycle] = np.roll(cycle, -1)

    def exchange(self, rows: list[int], batch: dict[str, Any]) -> dict[str, Any]:
        """The batch with its visible ordinary ids replaced, tiled or cut to length."""
        ids = batch["input_ids"].numpy().copy()
        for r, (index, visible) in enumerate(zip(rows, self._visible(batch), strict=True)):
            if visible.any():
                ids[r, visible] = np.resize(self._visible_ids(index), int(visible.sum()))
        return {**batch, "input_ids": torch.from_numpy(ids)}

    def _visible(self, batch: dict[str, Any]) -> np.ndarray:
        ordinary = ~np.isin(batch["input_ids"].numpy(), self.reserved)
        return ordinary if self.causal else ordinary & (batch["labels"].numpy() == IGNORE_INDEX)

    def _visible_ids(self, index: int) -> np.ndarray:
        """Visible ordinary ids of the first following sentence that has any."""
        other = int(self.other[index])
        while other != index:
            single = self.collator([Row(0, np.asarray([other]))])
            visible = self._visible(single)[0]
            if visible.any():
                return single["input_ids"].numpy()[0, visible]
            other = int(self.other[other])
        special = self.examples.special
        return np.asarray([special.eos if special.mask is None else special.mask])
