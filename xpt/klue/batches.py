"""Sequences of different lengths become one batch of tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from xpt.sizes import padded_length

IGNORED_LABEL = -100


def pad_batch(
    rows: Sequence[Mapping[str, Any]], padding: Mapping[str, int], most: int | None = None
) -> dict[str, Tensor]:
    """Stack each entry of `rows`; lists, nested ones too, are filled up at their ends.

    Args:
        rows: the same entries in each: numbers, or lists of numbers of any depth.
        padding: what an entry is filled with; entries that it lacks with `IGNORED_LABEL`.
        most: tokens that a row may have; where given, lists that `padding` names get one of few lengths.

    Returns:
        tensors (rows, ...), each dimension as long as the longest row needs, or as the next of few lengths.
    """
    return {
        name: _stack(
            [row[name] for row in rows], padding.get(name, IGNORED_LABEL), most if name in padding else None
        )
        for name in rows[0]
    }


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` (batch, length) where `mask` (batch, length) is true; 0 where it never is."""
    kept = mask.to(values.device).bool()
    return values.where(kept, 0).sum(dim=1) / kept.sum(dim=1).clamp(min=1)


def _stack(values: Sequence[Any], fill: int, most: int | None) -> Tensor:
    tensors = [torch.as_tensor(value) for value in values]
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    if most is not None:
        shape = [padded_length(size, most) for size in shape]
    batch = torch.full((len(tensors), *shape), fill, dtype=tensors[0].dtype)
    for index, tensor in enumerate(tensors):
        batch[(index, *(slice(size) for size in tensor.shape))] = tensor
    return batch
