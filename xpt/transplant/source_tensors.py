"""Whether a source's tensors are what its configuration describes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from xpt.program.errors import XPTError
from xpt.transplant.source_files import CONFIG


def printable(name: str) -> str:
    """A tensor's name, which a stranger chose, fit for one line."""
    return ascii(name)[1:-1][:100]


def check_tensors(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], name: str, supported: str | None = None
) -> None:
    """Raise `XPTError` unless a source's tensors have these names and shapes, no other, and are finite.

    `supported` is said where there is another: which sources have none.
    """
    more = f"; {supported}" if supported else ""
    missing = [key for key in shapes if key not in tensors]
    if missing:
        raise XPTError(
            f"source {name!r} lacks {missing[0]} ({len(missing)} of {len(shapes)} tensors are missing); "
            "get the whole checkpoint"
        )
    for key, tensor in tensors.items():
        shown = printable(key)
        if key not in shapes:
            raise XPTError(f"source {name!r} holds {shown}, which its {CONFIG} does not describe{more}")
        if tensor.shape != shapes[key]:
            raise XPTError(
                f"source {name!r}: {shown} has the shape {tuple(tensor.shape)}, "
                f"but its {CONFIG} describes {tuple(shapes[key])}; get the checkpoint again"
            )
        if not torch.isfinite(tensor).all():
            raise XPTError(f"source {name!r}: {shown} holds values that are not finite; get it again")
