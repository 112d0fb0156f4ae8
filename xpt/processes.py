"""What the processes of one run share: agreement where only one looks at the disk or gets a signal, sums,
and one voice.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce

SECONDS_TO_SPEAK = 5.0


class OtherProcessError(RuntimeError):
    """Another process of the run has failed, and says why."""


@contextmanager
def first_on_machine_first(device: torch.device) -> Iterator[None]:
    """The first process of each machine runs the block, then the others find what it left.

    Raises `OtherProcessError` in the others where one of those failed: they would do its work once more.
    """
    state = PartialState()
    if state.num_processes == 1:
        yield
        return
    goes_first, failed = state.is_local_main_process, True
    try:
        if goes_first:
            yield
        failed = False
    finally:
        left_alone = any_process(goes_first and failed, device) and not (goes_first and failed)
    if left_alone:
        raise OtherProcessError
    if not goes_first:
        yield


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


def say(line: str) -> None:
    """Print why the run ends, once: all processes meet the same error, or end because of another's."""
    if is_first():
        print(line, file=sys.stderr)


def let_first_speak() -> None:
    """Wait, in any other process: torchrun ends them all when one ends, the first before it said why."""
    if not is_first():
        time.sleep(SECONDS_TO_SPEAK)


def tell_launcher(reason: str) -> None:
    """Leave torchrun the line that its report of the failure shows for this process; without it, nothing."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        shown = {"py_callstack": reason, "timestamp": str(int(time.time()))}
        Path(file).write_text(json.dumps({"message": {"message": reason, "extraInfo": shown}}), "utf-8")


def is_left_alone(error: Exception) -> bool:
    """Whether a process fails only because another one has ended; gloo has no error type for that."""
    return isinstance(error, OtherProcessError) or "Connection closed by peer" in str(error)
