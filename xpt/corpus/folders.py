"""Folders and globs become paths: every real folder once, whatever links lead in circles."""

import fnmatch
import glob
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from xpt.errors import XPTError


def walk_folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield `root` and every visible folder below it, with what each holds beside folders.

    Links to folders are followed and each real folder is entered once, so links in circles end. Nothing
    recurses: the depth of the disk is no limit. Raises XPTError for a folder that cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(
                    (entry for entry in listing if not entry.name.startswith(".")), key=lambda e: e.name
                )
        except OSError as error:
            raise XPTError(
                f"folder {printable(folder)} cannot be read ({error.strerror}): make it readable, or name "
                "other folders"
            ) from error
        kinds = [(Path(entry.path), _is_folder(entry)) for entry in entries]
        waiting += [path for path, is_folder in reversed(kinds) if is_folder]
        yield folder, [path for path, is_folder in kinds if not is_folder]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def find_path(path: Path) -> Path:
    """The path as the disk spells it, or as it is given where that exists or nothing like it does.

    A Mac takes the letters of a name apart (NFD), a keyboard gives them whole (NFC): for Linux two names.
    """
    if os.path.lexists(path):
        return path
    found = Path(path.anchor)
    for part in path.parts[len(found.parts) :]:
        found = next(iter(_spelled(found, part)), found / part)
    return found


def expand_glob(pattern: str) -> list[Path]:
    """The paths that match, hidden ones left out; `**` stands for any folders, links in circles or not.

    `glob` itself would walk two links in one circle 2^40 times, and tells the spellings of a letter apart.
    """
    found = [Path(Path(pattern).anchor)]
    parts = Path(pattern).parts[len(found[0].parts) :]
    for part in (*parts, "*") if parts[-1:] == ("**",) else parts:
        if part == "**":
            roots = [folder for folder in found if folder.is_dir()]
            found = list(dict.fromkeys(folder for root in roots for folder, _ in walk_folders(root)))
        else:
            found = [path for folder in found for path in _in_folder(folder, part)]
    return found


def _in_folder(folder: Path, pattern: str) -> list[Path]:
    """What matches in a folder, sorted."""
    if not glob.has_magic(pattern):
        return _spelled(folder, pattern)
    wanted, hidden = _composed(pattern), pattern.startswith(".")
    return [
        folder / name
        for name in _names(folder)
        if fnmatch.fnmatchcase(_composed(name), wanted) and (hidden or not name.startswith("."))
    ]


def _spelled(folder: Path, name: str) -> list[Path]:
    """What has this name in a folder; in another spelling only where none has it in this one."""
    if os.path.lexists(folder / name):
        return [folder / name]
    if name.isascii():
        return []
    return [folder / other for other in _names(folder) if _composed(other) == _composed(name)]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def printable(path: Path | str) -> str:
    """A path as one line of Unicode: line ends and bytes that are not UTF-8 are escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(path)
    )
