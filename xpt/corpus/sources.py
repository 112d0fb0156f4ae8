"""Inputs named by the user become a sorted list of files and Hub datasets, and open as plain bytes."""

import bz2
import glob
import gzip
import io
import lzma
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from xpt.errors import XPTError

FORMATS = (".txt", ".jsonl", ".parquet", ".csv", ".tsv")
COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
# WikiExtractor names its output files so, without an extension.
_WIKI_EXTRACTOR_NAME = re.compile(r"wiki_\d+")
_HUB_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")
_DAMAGE = (OSError, EOFError, lzma.LZMAError, zlib.error, pa.ArrowException)


@dataclass(frozen=True)
class FileSource:
    """A local file. `identity` changes when the file does."""

    path: Path
    format: str
    identity: tuple[str, int, int] = field(repr=False)  # absolute path, bytes, modification time in ns

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.identity[1]


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


def find_sources(names: tuple[str, ...]) -> list[Source]:
    """Resolve files, folders, globs and Hub ids, in the order given; inside a folder or glob sorted by path.

    A file reached twice is read once. Raises XPTError for what does not exist or has an unknown extension.
    """
    sources: dict[tuple, Source] = {}
    for name in names:
        for source in _find_one(name):
            sources.setdefault(source.identity, source)
    return list(sources.values())


def _find_one(name: str) -> list[Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        return _supported(name, sorted(file for file in path.rglob("*") if _is_visible_file(file, path)))
    if path.exists():
        if file_format(path) is None:
            raise XPTError(f"{name} has an unknown extension: use {_known_extensions()}")
        return [_file_source(path)]
    if glob.has_magic(name):
        found = sorted(Path(file) for file in glob.glob(str(path), recursive=True))
        return _supported(name, [file for file in found if file.is_file()])
    match = _HUB_NAME.fullmatch(name)
    if match and file_format(Path(name)) is None and not name.startswith("."):
        from xpt.corpus.hub import find_dataset

        return [find_dataset(match["id"], match["config"], match["revision"])]
    raise XPTError(f"corpus {name} does not exist: name a file, a folder, a glob or a Hub dataset (org/name)")


def _supported(name: str, files: list[Path]) -> list[Source]:
    if not files:
        raise XPTError(f"corpus {name} holds no file")
    supported: list[Source] = [_file_source(file) for file in files if file_format(file) is not None]
    if not supported:
        raise XPTError(
            f"corpus {name} holds no file of a known extension, only such as {files[0].name}: "
            f"use {_known_extensions()}"
        )
    return supported


def _is_visible_file(file: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in file.relative_to(root).parts) and file.is_file()


def _known_extensions() -> str:
    return f"{' '.join(FORMATS)}, plain or {' '.join(COMPRESSIONS)}"


def file_format(path: Path) -> str | None:
    """The format by the file's name (".txt", ...), without its compression; None if unknown."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    if _WIKI_EXTRACTOR_NAME.fullmatch(name.name):
        return ".txt"
    return name.suffix.lower() if name.suffix.lower() in FORMATS else None


def _file_source(path: Path) -> FileSource:
    format_ = file_format(path)
    assert format_ is not None
    return FileSource(path, format_, _file_identity(path))


def _file_identity(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return (str(path.resolve()), status.st_size, status.st_mtime_ns)


@contextmanager
def reading(source: FileSource) -> Iterator[None]:
    """Turn what a damaged, unreadable or changing file raises in the block into an XPTError that names it."""
    try:
        yield
    except UnicodeDecodeError as error:  # inside a Parquet column; text files are decoded line by line
        raise XPTError(
            f"{source.path} holds a text that is not UTF-8 from its byte {error.start + 1} on: write it anew"
        ) from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise XPTError(f"{source.path} cannot be read ({reason}): it may be damaged or cut off") from error
    if _file_identity(source.path) != source.identity:
        raise XPTError(f"{source.path} changed while it was read: start again when nothing writes to it")


class _Counted(io.RawIOBase):
    """A file that tells how many bytes were read from it."""

    def __init__(self, path: Path, advance: Callable[[int], object]):
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed with this object
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
def open_bytes(path: Path, advance: Callable[[int], object]) -> Iterator[BinaryIO]:
    """Open a plain or compressed file for reading; `advance` gets the count of bytes taken from the disk.

    Truncated archives raise. (Zstandard goes through Arrow for that: the zstandard package ends silently.)
    """
    with io.BufferedReader(_Counted(path, advance), 1 << 20) as raw:
        stream: Any
        match path.suffix.lower():
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
