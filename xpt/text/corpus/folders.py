"""Folders and globs become paths: every real folder once, whatever links lead in circles."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

from xpt.program.errors import XPTError


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


def expand_glob(pattern: str) -> Iterator[Path]:
    """Yield the paths that match, hidden ones left out; `**` stands for any folders, links in circles or not.

    `glob` itself would walk two links in one circle 2^40 times.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from map(Path, glob.glob(pattern))
        return
    place = parts.index("**")
    rest = Path(*parts[place + 1 :] or "*")
    for base in sorted(glob.glob(str(Path(*parts[:place])))):
        if os.path.isdir(base):
            for folder, _ in walk_folders(Path(base)):
                yield from expand_glob(str(Path(glob.escape(str(folder))) / rest))


def printable(path: Path | str) -> str:
    """A path as one line of Unicode: line ends and bytes that are not UTF-8 are escaped."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in str(path)
    )
