"""What is read: a local file or a Hub dataset, each with what tells it apart."""

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from xpt.program.errors import XPTError
from xpt.text.corpus.folders import printable


@dataclass(frozen=True)
class FileSource:
    """A local file. `identity` changes when the file does; `inode` also where another takes its place."""

    path: Path
    format: str
    identity: tuple[str, int, int] = field(repr=False)  # absolute path, bytes, modification time in ns
    inode: tuple[int, int] = field(repr=False)  # device and number

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.identity[1]

    @property
    def name(self) -> str:
        """The path as messages show it: one line, whatever bytes it holds."""
        return printable(self.path)


@dataclass(frozen=True)
class HubSource:
    """A Hub dataset at one commit."""

    dataset: str
    config: str | None
    revision: str
    size: int = 0  # not known before it is downloaded

    @property
    def identity(self) -> tuple[str, str, str]:
        """What the content depends on."""
        return (self.dataset, self.config or "", self.revision)


Source = FileSource | HubSource


def inspect_file(path: Path, format_: str) -> FileSource:
    """The file as it is now. Raises XPTError for a link to nothing and for what is no regular file."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        raise XPTError(f"{printable(path)} is a link to nothing: fix or remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise XPTError(f"{printable(path)} is no regular file: write what it gives into one first")
    identity = (os.path.realpath(path), status.st_size, status.st_mtime_ns)
    return FileSource(path, format_, identity, (status.st_dev, status.st_ino))
