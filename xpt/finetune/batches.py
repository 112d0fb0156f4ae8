"""Sequences of different lengths become one batch of tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

IGNORED_LABEL = -100


def pad_batch(rows: Sequence[Mapping[str, Any]], padding: Mapping[str, int]) -> dict[str, Tensor]:
    """Stack each entry of `rows`; lists, nested ones too, are filled up at their ends.

    Args:
        rows: the same entries in each: numbers, or lists of numbers of any depth.
        padding: what an entry is filled with; entries that it lacks with `IGNORED_LABEL`.

    Returns:
        tensors (rows, ...), each dimension as long as the longest row needs.
    """
    return {name: _stack([row[name] for row in rows], padding.get(name, IGNORED_LABEL)) for name in rows[0]}


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` (batch, length) where `mask` (batch, length) is true; 0 where it never is."""
    kept = mask.to(values.device).bool()
    return values.where(kept, 0).sum(dim=1) / kept.sum(dim=1).clamp(min=1)


def _stack(values: Sequence[Any], fill: int) -> Tensor:
    tensors = [torch.as_tensor(value) for value in values]
    shape = [max(sizes) for sizes in zip(*(tensor.shape for tensor in tensors), strict=True)]
    batch = torch.full((len(tensors), *shape), fill, dtype=tensors[0].dtype)
    for index, tensor in enumerate(tensors):
        batch[(index, *(slice(size) for size in tensor.shape))] = tensor
    return batch
