"""One process of the queue: an `xpt` command that holds a lock and ends with the queue.

    python -m xpt.study.worker LOCK_FOLDER train ...

The lock is this process's own, so that it is held exactly as long as somebody works, whatever becomes of the
queue. The queue holds the other end of stdin: where it is killed, stdin ends, and the command saves and
stops as for SIGTERM.
"""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from xpt.program.errors import XPTError
from xpt.program.lock import FolderLock

BUSY = 75  # EX_TEMPFAIL of sysexits.h: another process is at it


def work(lock_folder: Path, words: Sequence[str]) -> int:
    """Run `python -m xpt.command` with `words` under the lock; `BUSY` where another process has it.

    The command ends by `SystemExit`, which goes on to the caller.
    """
    lock = FolderLock(lock_folder)
    try:
        lock.acquire()
    except XPTError:
        return BUSY
    sys.argv = ["xpt", *words]
    runpy.run_module("xpt.command", run_name="__main__")  # it stands above; nothing here knows what it does
    return 0


def _stop_with_the_queue() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_stop_with_the_queue, daemon=True).start()
    sys.exit(work(Path(sys.argv[1]), sys.argv[2:]))
