"""Which numbers a run computes in: bfloat16 where the hardware multiplies it fast, float32 elsewhere."""

from typing import Any

import torch

from xpt.program.errors import XPTError


def has_fast_bf16(use_cpu: bool = False) -> bool:
    """Whether this machine has bfloat16 arithmetic: a GPU's, or AVX512-BF16 or AMX on the CPU."""
    if torch.cuda.is_available() and not use_cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older releases of torch do not tell; float32 is right everywhere.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def resolve_bf16(wanted: bool | None, use_cpu: bool = False) -> bool:
    """What `--bf16` means here. Raises `XPTError` where it was asked for and the hardware has none."""
    available = has_fast_bf16(use_cpu)
    if wanted and not available:
        raise XPTError("--bf16 true, but this hardware has no bfloat16 arithmetic; give --bf16 false")
    return available if wanted is None else wanted


def precision(arguments: Any) -> str:
    """The name of a run's precision."""
    if arguments.bf16:
        return "bf16"
    return "fp16" if arguments.fp16 else "fp32"


def autocast_dtype(arguments: Any) -> torch.dtype | None:
    """A run's mixed precision, for what is computed outside of the Trainer's own loop."""
    if arguments.bf16:
        return torch.bfloat16
    return torch.float16 if arguments.fp16 else None
