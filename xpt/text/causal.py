"""Rows become batches for a causal model: each token is predicted from those before it in its own text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xpt.text.examples import ExampleSet
from xpt.text.laying import lay_out
from xpt.text.masking import IGNORE_INDEX
from xpt.text.packing import Row


@dataclass(frozen=True)
class CausalCollator:
    """Rows become `input_ids`, `labels` and, when packing, `position_ids`, else `attention_mask`.

    Nothing is drawn: a batch is a function of its rows. `labels` are the ids themselves, which transformers'
    models shift; the first token of each text is never asked for, since nothing of its own stands before it.
    Packed texts do not see each other: positions restart at each, from which transformers makes the mask,
    whatever computes attention. It does so without a cache only, hence `use_cache`.
    """

    examples: ExampleSet
    packing: bool

    def __call__(self, rows: list[Row]) -> dict[str, Any]:
        laid = lay_out(self.examples, rows, self.packing)
        asked = (laid.segment > 0) & (laid.position > 0)
        batch: dict[str, Any] = {
            "input_ids": torch.from_numpy(laid.ids),
            "labels": torch.from_numpy(np.where(asked, laid.ids, IGNORE_INDEX)),
            "use_cache": False,
        }
        if self.packing:
            place = np.arange(laid.ids.shape[1])
            behind = place - (laid.segment > 0).sum(1, keepdims=True)  # padding is a text of its own
            positions = np.where(laid.segment > 0, laid.position, behind)
            return {**batch, "position_ids": torch.from_numpy(positions)}
        return {**batch, "attention_mask": torch.from_numpy((laid.segment > 0).astype(np.int64))}
