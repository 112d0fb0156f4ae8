"""What the processes of one run must agree on, where only one of them looks at the disk or gets a signal."""

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather


def told_by_first(value: int, device: torch.device) -> int:
    """The first process's `value`, in every process."""
    if PartialState().num_processes == 1:
        return value
    return int(broadcast(torch.tensor([value], device=device)).item())


def any_process(value: bool, device: torch.device) -> bool:
    """Whether `value` is true in at least one process. A single one is not asked through its GPU."""
    if PartialState().num_processes == 1:
        return value
    return bool(gather(torch.tensor([int(value)], device=device)).any())
