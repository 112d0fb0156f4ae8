"""Dropout whose random bits come four to a draw.

torch draws a 64-bit number for every element that `bernoulli_` decides; sixteen bits decide as well, so one
draw serves four elements. The share dropped is p to within 2**-17.
"""

import torch
from torch import Tensor, nn

_BITS = 16


def kept(shape: torch.Size, p: float) -> Tensor:
    """A boolean tensor of `shape`, each element false with probability `p`, from torch's CPU generator."""
    count = shape.numel()
    drawn = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    below = round((1 - p) * 2**_BITS) - 2 ** (_BITS - 1)
    return (drawn.view(torch.int16)[:count] < below).view(shape)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, p: float) -> Tensor:  # type: ignore[override]
        keep = kept(inputs.shape, p)
        ctx.save_for_backward(keep)
        ctx.scale = 1 / (1 - p)
        return torch.where(keep, inputs, 0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (keep,) = ctx.saved_tensors
        return torch.where(keep, grad, 0).mul_(ctx.scale), None


class FastDropout(nn.Dropout):
    """`nn.Dropout` for the CPU; elsewhere, and outside of training, it is `nn.Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of a tensor of any shape."""
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        return _Dropout.apply(input, self.p)
