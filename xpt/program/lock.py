"""One process a run folder: a lock that dies with its holder, however that ends.

The operating system drops a POSIX record lock when the process that holds it is gone, and no child inherits
it, so neither SIGKILL nor a data loader's orphan leaves one behind. The file stays: removing it would let two
processes lock two files of the same name.
"""

import fcntl
import os
from pathlib import Path

from xpt.program.errors import XPTError

LOCK_FILE = ".lock"


class FolderLock:
    """The lock of one folder. Closing any other handle of its file in this process would drop it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, making the folder if need be. Raises `XPTError` where another process has it."""
        if self._descriptor is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise XPTError(
                f"{self.folder} is in use by process {holder or 'unknown'}; wait for it, "
                "or give another --output_dir"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back, if it was taken."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
