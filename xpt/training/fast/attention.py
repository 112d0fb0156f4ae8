"""Attention for training on a CPU, in place of torch's fused kernel.

That kernel's backward pass is slow there, and with dropout it falls back to a dozen operations, half of them
in float32. Rows of post-training are short, so scores fit the cache: plain matrix products are faster.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from xpt.training.fast.dropout import blanked, kept

LONGEST = 512  # tokens; scores of longer rows leave the cache
UNKNOWN_HERE = ("position_bias", "softcap", "cache")  # what transformers may ask of `sdpa` beside


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, value, mask, scaling, dropout):  # type: ignore[override]
        query = query * scaling
        scores = torch.matmul(query, key.transpose(-1, -2))  # (batch, heads, length, length)
        if mask is not None:
            # Half of the least number: no sum of it and a score overflows.
            lowest = torch.finfo(scores.dtype).min / 2
            scores += torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(mask.logical_not(), lowest)
        probs = torch.softmax(scores, -1)
        keep = kept(probs.shape, dropout) if dropout else None
        dropped = probs if keep is None else blanked(probs, keep)
        ctx.save_for_backward(query, key, value, probs, keep)
        ctx.scaling, ctx.dropout = scaling, dropout
        return torch.matmul(dropped, value).div_(1 - dropout)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[override]
        query, key, value, probs, keep = ctx.saved_tensors
        grad = grad / (1 - ctx.dropout) if ctx.dropout else grad
        dropped = probs if keep is None else blanked(probs, keep)
        grad_value = torch.matmul(dropped.transpose(-1, -2), grad)
        grad_probs = torch.matmul(grad, value.transpose(-1, -2))
        if keep is not None:
            grad_probs = blanked(grad_probs, keep)
        grad_scores = torch._softmax_backward_data(grad_probs, probs, -1, probs.dtype)
        grad_query = torch.matmul(grad_scores, key).mul_(ctx.scaling)
        grad_key = torch.matmul(grad_scores.transpose(-1, -2), query)
        return grad_query, grad_key, grad_value, None, None, None


def cpu_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it; what it does not do faster goes to `sdpa`.

    Args:
        query, key, value: (batch, heads, length, head size).
        attention_mask: (batch or 1, 1, length, length), true where the row's token attends to the column's;
            or None where all attend to all.
        dropout: share of the probabilities dropped.
        scaling: what scores are multiplied by; the default is 1 / sqrt(head size).
        is_causal: whether the future is hidden; the default is the module's own word, or else true.

    Returns:
        (batch, length, heads, head size), and no weights.
    """
    if (
        (getattr(module, "is_causal", True) if is_causal is None else is_causal)
        or query.device.type != "cpu"
        or not torch.is_grad_enabled()
        or key.shape[1] != query.shape[1]
        or key.shape[2] > LONGEST
        or (attention_mask is not None and attention_mask.dtype != torch.bool)
        or any(kwargs.get(name) is not None for name in UNKNOWN_HERE)
    ):
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            is_causal=is_causal,
            **kwargs,
        )
    scaling = 1 / math.sqrt(query.shape[-1]) if scaling is None else scaling
    with torch.autocast("cpu", enabled=False):
        output = _Attention.apply(query, key, value, attention_mask, scaling, dropout)
    return output.transpose(1, 2).contiguous(), None


@contextmanager
def in_place_of_sdpa() -> Iterator[None]:
    """While open, what attends by `sdpa` attends by `cpu_attention`; masks are made as for `sdpa`."""
    ALL_ATTENTION_FUNCTIONS["sdpa"] = cpu_attention
    try:
        yield
    finally:
        del ALL_ATTENTION_FUNCTIONS["sdpa"]  # what was registered before shows again
