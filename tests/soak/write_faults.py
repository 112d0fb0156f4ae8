"""Fails the n-th write under a folder, below Python and Rust alike: a C library that is preloaded.

environment = preload(tmp_path)                  # for a new process, which then calls
with failing(folder, n) as seen: ...             # the n-th write in `folder` fails with ENOSPC
"""

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
COMPILER = shutil.which("cc") or shutil.which("gcc")


def preload(build: Path) -> dict[str, str]:
    """Compile the library in `build`; gives back the environment of a process that has it."""
    library = build / "write_faults.so"
    assert COMPILER is not None, "needs a C compiler"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}


@contextmanager
def failing(folder: Path, n: int) -> Iterator[Callable[[], int]]:
    """While open, the n-th write under `folder` fails with ENOSPC (none for 0); yields the count so far."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.write_faults_arm(os.fsencode(folder.resolve()), ctypes.c_long(n), errno.ENOSPC)
    library.write_faults_seen.restype = ctypes.c_long
    try:
        yield lambda: int(library.write_faults_seen())
    finally:
        library.write_faults_disarm()
