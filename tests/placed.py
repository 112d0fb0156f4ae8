"""Weights where an allocation places them: a file has them elsewhere, and kernels round by that."""

from torch import nn


def placed(model: nn.Module) -> nn.Module:
    """The model, each of its tensors in memory of its own: equal weights then give equal numbers."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model
