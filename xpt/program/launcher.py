"""One voice for many processes: what a launcher such as torchrun tells each of them, and is told back."""

import json
import os
import sys
import time
from pathlib import Path


def is_first() -> bool:
    """Whether this process speaks for the run; its launcher says so before anything is set up."""
    return int(os.environ.get("RANK", "0")) == 0


def say(line: str) -> None:
    """Print why the run ends, once: all processes meet the same error, or end because of another's."""
    if is_first():
        print(line, file=sys.stderr)


def tell_launcher(reason: str) -> None:
    """Leave torchrun the line that its report of the failure shows for this process; without it, nothing."""
    file = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if file:
        shown = {"py_callstack": reason, "timestamp": str(int(time.time()))}
        Path(file).write_text(json.dumps({"message": {"message": reason, "extraInfo": shown}}), "utf-8")
