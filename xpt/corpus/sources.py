"""Inputs named by the user become a list of files and Hub datasets."""

import glob
import os
import re
from collections.abc import Callable
from pathlib import Path

from xpt.corpus.documents import DEFAULT_COLUMN
from xpt.corpus.folders import expand_glob, find_path, printable, walk_folders
from xpt.corpus.formats import JSON, file_format, kind_of, known_extensions, why_unknown
from xpt.corpus.guesses import first_object, read_head
from xpt.corpus.inputs import FileSource, Source, inspect_file
from xpt.corpus.opening import open_bytes, reading
from xpt.errors import XPTError

_HUB_NAME = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?::(?P<config>[\w.-]+))?(?:@(?P<revision>[\w./-]+))?")


def find_sources(
    names: tuple[str, ...],
    column: str | None = None,
    on_pass: Callable[[str], object] = lambda kind: None,
) -> list[Source]:
    """Resolve files, folders, globs and Hub ids, in the order given; inside a folder or glob sorted by path.

    A file reached twice is read once. `on_pass` is told the kind of each file of a folder or glob that is
    not read, among them `.json` that has not an object with `column` on each line. Raises XPTError for what
    does not exist, is no regular file, has an unknown extension or may not be looked at.
    """
    sources: dict[tuple, Source] = {}
    for name in names:
        try:
            found = _find_one(name, column or DEFAULT_COLUMN, on_pass)
        except OSError as error:
            raise XPTError(
                f"corpus {printable(name)} cannot be read ({error.strerror}): check the name and its "
                "permissions"
            ) from error
        for source in found:
            sources.setdefault(source.identity, source)
    return list(sources.values())


def _find_one(name: str, column: str, on_pass: Callable[[str], object]) -> list[Source]:
    path = find_path(Path(name).expanduser())
    if path.is_dir():
        return _supported(name, [file for _, files in walk_folders(path) for file in files], column, on_pass)
    if os.path.lexists(path):
        return [_named_file(name, path)]
    if glob.has_magic(name):
        files = [file for file in expand_glob(str(path)) if not file.is_dir()]
        return _supported(name, files, column, on_pass)
    match = _HUB_NAME.fullmatch(name)
    if match and file_format(Path(name)) is None and not name.startswith("."):
        from xpt.corpus.hub import find_dataset

        return [find_dataset(match["id"], match["config"], match["revision"])]
    raise XPTError(
        f"corpus {printable(name)} does not exist: name a file, a folder, a glob or a Hub dataset (org/name)"
    )


def _named_file(name: str, path: Path) -> FileSource:
    format_ = file_format(path)
    if format_ is None:
        raise XPTError(f"{printable(name)} {why_unknown(path)}")
    source = inspect_file(path, format_)
    if format_ != JSON:
        return source
    if _first_object(source) is None:
        raise XPTError(
            f"{printable(name)} has not one JSON object a line: write it so, for example with jq -c '.[]' "
            f"(a list) or jq -c . (one object), as .jsonl"
        )
    return inspect_file(path, ".jsonl")


def _supported(name: str, files: list[Path], column: str, on_pass: Callable[[str], object]) -> list[Source]:
    files = sorted(file for file in files if not _is_special(file))
    if not files:
        raise XPTError(f"corpus {printable(name)} holds no file")
    supported: list[Source] = []
    for file in files:
        if source := _readable(file, column):
            supported.append(source)
        else:
            on_pass(kind_of(file))
    if not supported:
        raise XPTError(
            f"corpus {printable(name)} holds no file of a known extension, only such as "
            f"{printable(files[0].name)}: use {known_extensions()}"
        )
    return supported


def _readable(file: Path, column: str) -> FileSource | None:
    format_ = file_format(file)
    if format_ is None:
        return None
    source = inspect_file(file, format_)
    if format_ != JSON:
        return source
    try:
        row = _first_object(source)
    except XPTError:  # damaged, say: whether it is text nobody can tell
        return None
    # A file of settings may be an object on one line, too.
    return inspect_file(file, ".jsonl") if row is not None and (not row or column in row) else None


def _first_object(source: FileSource) -> dict | None:
    with reading(source), open_bytes(source, lambda count: None) as stream:
        return first_object(read_head(stream)[0])


def _is_special(file: Path) -> bool:
    """Whether it is a socket, a pipe or a device: those are not looked for in folders."""
    return file.exists() and not file.is_file()
