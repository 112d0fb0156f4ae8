"""The one error a user can fix: scripts print its text on one line and exit with code 2."""

import errno


class XPTError(Exception):
    """Something the user gave cannot be used; the message names the thing and the way out.

    Example:
        >>> try:
        ...     xpt.open_source("no/such-encoder")
        ... except xpt.XPTError as error:
        ...     message = str(error)
        >>> "no/such-encoder" in message
        True
    """


def user_message(error: Exception) -> str | None:
    """One line for what a user can fix, the system's own errors included; None for the program's faults."""
    import torch  # not before: who only raises an error has it at once
    from safetensors import SafetensorError

    # The system's: a full disk, a folder that may not be written.
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error}; free some space, and the same command goes on"
    if isinstance(error, XPTError | OSError | SafetensorError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error):
        return (
            "out of memory; give a smaller --per_device_train_batch_size with more "
            "--gradient_accumulation_steps (the same global batch), or a smaller --max_seq_length"
        )
    return None
