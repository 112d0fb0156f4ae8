"""What the processes of one run share: agreement where only one looks at the disk or gets a signal, sums,
and one voice.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce


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


def summed(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` of all processes added up, on the CPU. A single one is not asked through its GPU."""
    if PartialState().num_processes == 1:
        return values
    return reduce(values.to(device), reduction="sum").cpu()


def is_first() -> bool:
    """Whether this process speaks for the run, as its launcher says: right before anything is set up."""
    return int(os.environ.get("RANK", "0")) == 0


def say_why_it_ends(line: str) -> None:
    """Print `line` once: all processes meet the same error, or end because of another one's.

    torchrun keeps a file for each process, shows it in its own report of the failure, and so loses none.
    """
    kept = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if kept:
        Path(kept).write_text(json.dumps({"message": line, "timestamp": int(time.time())}), encoding="utf-8")
    if is_first() or not kept:
        print(line, file=sys.stderr)
