"""Dropout whose random bits come four to a draw, and whose choice is a mask of bits.

torch draws a 64-bit number for every element that `bernoulli_` decides; sixteen bits decide as well, so one
draw serves four elements. The share dropped is p to within 2**-16. To blank elements with a bitwise "and"
takes a fifth of the time of `torch.where`, whose condition is a tensor of another element size.
"""

import numpy as np
import torch
from torch import Tensor, nn

_BITS = 16
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size


def kept(shape: torch.Size, p: float) -> Tensor:
    """An int16 tensor of `shape`, each element 0 with probability `p` and else -1, all of whose bits are set.

    It follows torch's CPU generator, of which it takes one number; the bits are NumPy's, which come sooner.
    """
    count = shape.numel()
    seed = int(torch.empty((), dtype=torch.int64).random_())
    drawn = np.random.SFC64(seed).random_raw((count + 3) // 4).view(np.int16)
    bits = torch.from_numpy(drawn)[:count].view(shape)
    highest = 2 ** (_BITS - 1) - 1
    below = min(round((1 - p) * 2**_BITS) - highest - 1, highest)
    return torch.lt(bits, below, out=bits).neg_()


def blanked(inputs: Tensor, keep: Tensor) -> Tensor:
    """`inputs`, of any float dtype, where `keep` says so, and 0 elsewhere."""
    return (inputs.view(_INTEGERS[inputs.element_size()]) & keep).view(inputs.dtype)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs: Tensor, p: float) -> Tensor:  # type: ignore[override]
        keep = kept(inputs.shape, p)
        ctx.save_for_backward(keep)
        ctx.scale = 1 / (1 - p)
        return blanked(inputs, keep).mul_(ctx.scale)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (keep,) = ctx.saved_tensors
        return blanked(grad, keep).mul_(ctx.scale), None


class FastDropout(nn.Dropout):
    """`nn.Dropout` for the CPU; elsewhere, and outside of training, it is `nn.Dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Drop elements of a tensor of any shape."""
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        return _Dropout.apply(input, self.p)
