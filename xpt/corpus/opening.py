"""Files open as plain bytes, unpacked as they are read; what changes or breaks on the way is named."""

import bz2
import gzip
import io
import lzma
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from xpt.corpus.folders import printable
from xpt.corpus.inputs import FileSource, inspect_file
from xpt.errors import XPTError

_DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException)


@contextmanager
def reading(source: FileSource) -> Iterator[None]:
    """Turn what a damaged, unreadable or changing file raises in the block into an XPTError that names it."""
    try:
        yield
    except Exception as error:
        _refuse_changed(source)  # half a file looks damaged: say first that it was written to
        if isinstance(error, UnicodeDecodeError):  # inside a Parquet column; lines are decoded elsewhere
            raise XPTError(
                f"{source.name} holds a text that is not UTF-8 from its byte {error.start + 1} on: "
                "write it anew"
            ) from error
        if isinstance(error, PermissionError):
            raise XPTError(f"{source.name} may not be read ({error.strerror}): make it readable") from error
        if isinstance(error, _DAMAGE):
            reason = printable(" ".join(str(error).split()))[:300] or type(error).__name__
            raise XPTError(
                f"{source.name} cannot be read ({reason}): it may be damaged or cut off"
            ) from error
        raise
    _refuse_changed(source)


def _refuse_changed(source: FileSource) -> None:
    try:
        now = inspect_file(source.path, source.format)
    except (OSError, XPTError) as error:
        raise XPTError(
            f"{source.name} was removed while it was read: start again when nothing writes to it"
        ) from error
    if (now.identity, now.inode) != (source.identity, source.inode):
        raise XPTError(f"{source.name} changed while it was read: start again when nothing writes to it")


class _Counted(io.RawIOBase):
    """A regular file that tells how many bytes were read from it."""

    def __init__(self, source: FileSource, advance: Callable[[int], object]):
        # Without blocking, so that a pipe that took the file's place does not wait for a writer.
        self._file = open(  # noqa: SIM115 - closed with this object
            source.path, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)
        )
        if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.close()
            raise OSError(f"{source.name} is no regular file any more")
        self._advance = advance

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer) -> int:  # type: ignore[override]
        count = self._file.readinto(buffer) or 0
        self._advance(count)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def open_bytes(source: FileSource, advance: Callable[[int], object]) -> Iterator[BinaryIO]:
    """Open a plain or compressed file for reading; `advance` gets the count of bytes taken from the disk.

    Truncated archives raise. (Zstandard goes through Arrow for that: the zstandard package ends silently.)
    """
    with io.BufferedReader(_Counted(source, advance), 1 << 20) as raw:
        stream: Any
        match source.path.suffix.lower():
            case ".gz":
                stream = gzip.GzipFile(fileobj=raw)
            case ".xz":
                stream = lzma.LZMAFile(raw)  # noqa: SIM115 - closed by the reader around it
            case ".bz2":
                stream = bz2.BZ2File(raw)
            case ".zst":
                stream = pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd")
            case _:
                yield raw
                return
        with io.BufferedReader(stream, 1 << 20) as unpacked:
            yield unpacked
