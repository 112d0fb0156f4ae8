"""What the processes of one run share: who goes first, what only one of them knows, sums, the end."""

import gc
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather, reduce

SETTLING = 0.2  # seconds for gloo's threads, where caches of FSDP2 hold the group in spite of its end


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


def is_left_alone(error: Exception) -> bool:
    """Whether a process fails only because another one has ended; gloo has no error type for that."""
    # Reset where it had not read all yet that was sent to it.
    lost = re.search("Connection (closed|reset) by peer", str(error))
    return isinstance(error, OtherProcessError) or (isinstance(error, RuntimeError) and lost is not None)


def end_group(seconds: float = 10.0) -> None:
    """End the talk of the processes, the last thing that each of them does.

    A thread of gloo may still hold the tensor that it sent last. It would give it back to an interpreter that
    has ended, which aborts the process. Nothing is waited for longer than `seconds`: what another process
    never answers holds such a thread for as long as it lives.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return
    gc.collect()  # what was trained holds the group, in circles
    ending = threading.Thread(target=torch.distributed.destroy_process_group, daemon=True)
    ending.start()
    ending.join(seconds)
    time.sleep(SETTLING)
