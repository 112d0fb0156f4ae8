"""Inputs named by the user become a list of files and Hub datasets, each with what tells it apart."""

import errno
import glob
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from xpt.program.errors import XPTError
from xpt.text.corpus.folders import expand_glob, printable, walk_folders

FORMATS = (".txt", ".jsonl", ".parquet", ".csv", ".tsv", ".xml")
TEXTS = (".txt", ".xml")  # those without columns
COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
# WikiExtractor names its output files so, without an extension.
_WIKI_EXTRACTOR_NAME = re.compile(r"wiki_\d+")
# Stands beside a dump of many streams: offsets and titles, no text.
_DUMP_INDEX_NAME = re.compile(r".*-multistream-index\d*\.txt.*")
_HUB_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")


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


def find_sources(names: tuple[str, ...]) -> list[Source]:
    """Resolve files, folders, globs and Hub ids, in the order given; inside a folder or glob sorted by path.

    A file reached twice is read once. Raises XPTError for what does not exist, is no regular file, has an
    unknown extension or may not be looked at.
    """
    sources: dict[tuple, Source] = {}
    for name in names:
        try:
            found = _find_one(name)
        except OSError as error:
            raise XPTError(
                f"corpus {printable(name)} cannot be read ({error.strerror}): check the name and its "
                "permissions"
            ) from error
        for source in found:
            sources.setdefault(source.identity, source)
    return list(sources.values())


def _find_one(name: str) -> list[Source]:
    path = Path(name).expanduser()
    if path.is_dir():
        return _supported(name, [file for _, files in walk_folders(path) for file in files])
    if os.path.lexists(path):
        format_ = file_format(path)
        if format_ is None:
            raise XPTError(f"{printable(name)} has an unknown extension: use {_known_extensions()}")
        return [inspect_file(path, format_)]
    if glob.has_magic(name):
        return _supported(name, [file for file in expand_glob(str(path)) if not file.is_dir()])
    match = _HUB_NAME.fullmatch(name)
    if match and file_format(Path(name)) is None and not name.startswith("."):
        from xpt.text.corpus.hub import find_dataset

        return [find_dataset(match["id"], match["config"], match["revision"])]
    raise XPTError(
        f"corpus {printable(name)} does not exist: name a file, a folder, a glob or a Hub dataset (org/name)"
    )


def _supported(name: str, files: list[Path]) -> list[Source]:
    files = sorted(file for file in files if not _is_special(file))
    if not files:
        raise XPTError(f"corpus {printable(name)} holds no file")
    supported: list[Source] = [
        inspect_file(file, format_)
        for file in files
        if (format_ := file_format(file)) is not None and not _DUMP_INDEX_NAME.fullmatch(file.name)
    ]
    if not supported:
        raise XPTError(
            f"corpus {printable(name)} holds no file of a known extension, only such as "
            f"{printable(files[0].name)}: use {_known_extensions()}"
        )
    return supported


def _is_special(file: Path) -> bool:
    """Whether it is a socket, a pipe or a device: those are not looked for in folders."""
    return file.exists() and not file.is_file()


def _known_extensions() -> str:
    return f"{' '.join(FORMATS)}, plain or {' '.join(COMPRESSIONS)}"


def file_format(path: Path) -> str | None:
    """The format by the file's name (".txt", ...), without its compression; None if unknown."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    if _WIKI_EXTRACTOR_NAME.fullmatch(name.name):
        return ".txt"
    return name.suffix.lower() if name.suffix.lower() in FORMATS else None


def inspect_file(path: Path, format_: str) -> FileSource:
    """The file as it is now. Raises XPTError for a link to nothing and for what is no regular file."""
    try:
        status = path.stat()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP):
            raise
        raise XPTError(f"{printable(path)} is a link to nothing: mend or remove it") from error
    if not stat.S_ISREG(status.st_mode):
        raise XPTError(f"{printable(path)} is no regular file: write what it gives into one first")
    identity = (os.path.realpath(path), status.st_size, status.st_mtime_ns)
    return FileSource(path, format_, identity, (status.st_dev, status.st_ino))
