"""The fast path: a model trains with stock operations replaced by ones that are measured to be faster.

What it computes is the same up to rounding; which activations are dropped differs, the share does not. A
model that leaves the path is as it was, and nothing of it is saved. benchmarks/throughput.py measures each
part.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from xpt.training.fast.attention import in_place_of_sdpa
from xpt.training.fast.dropout import FastDropout
from xpt.training.fast.memory import keep_freed_memory

PARTS = ("memory", "attention", "dropout")


@contextmanager
def fast_path(
    model: nn.Module, device: torch.device, enabled: bool = True, parts: tuple[str, ...] = PARTS
) -> Iterator[None]:
    """While open, `model` trains on `device` by the fast path; `parts` leaves some of it out.

    On a GPU stock operations are fast, and nothing is replaced.
    """
    if not enabled or device.type != "cpu":
        yield
        return
    if "memory" in parts:
        keep_freed_memory()
    attention = in_place_of_sdpa() if "attention" in parts else nullcontext()
    dropouts = [module for module in model.modules() if type(module) is nn.Dropout]
    with attention:
        try:
            if "dropout" in parts:
                for module in dropouts:
                    module.__class__ = FastDropout
            yield
        finally:
            for module in dropouts:
                module.__class__ = nn.Dropout
