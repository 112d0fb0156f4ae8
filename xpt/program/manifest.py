"""Whether a folder is still what was written: `manifest.json` holds hash and size of each of its files."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from xpt.program.files import remove_folder, write_text_atomically

MANIFEST = "manifest.json"
FORMAT = 1


class DamagedError(Exception):
    """What is wrong with a folder; names the file."""


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, facts: dict[str, Any], without: Sequence[str] = ()) -> str:
    """Describe every file of `folder` and keep `facts` beside; gives back the manifest's own hash.

    Files whose names match a pattern of `without` are about to go, and are left out.
    """
    files = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not any(fnmatchcase(file.name, pattern) for pattern in (MANIFEST, *without))
    }
    text = json.dumps({"format": FORMAT, **facts, "files": files}, ensure_ascii=False, indent=2) + "\n"
    write_text_atomically(folder / MANIFEST, text)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def verify(folder: Path, manifest_sha256: str | None = None) -> dict[str, Any]:
    """Read every file of `folder` and compare it with the manifest, which is given back.

    With `manifest_sha256` the manifest itself is compared too. Raises `DamagedError` naming the first file
    that is missing, or of another size or content.
    """
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise DamagedError(f"{MANIFEST} is missing") from error
    if manifest_sha256 is not None and hashlib.sha256(raw).hexdigest() != manifest_sha256:
        raise DamagedError(f"{MANIFEST} is not what was written ({len(raw):,} bytes)")
    try:
        manifest = json.loads(raw.decode("utf-8"))
        expected = {str(name): (int(e["bytes"]), str(e["sha256"])) for name, e in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{MANIFEST} cannot be read") from error
    for name, (size, sha256) in expected.items():
        _verify_file(folder, name, size, sha256)
    return manifest


def _verify_file(folder: Path, name: str, size: int, sha256: str) -> None:
    path = folder / name
    if not path.is_file():
        raise DamagedError(f"{name} is missing")
    found = path.stat().st_size
    if found != size:
        raise DamagedError(f"{name} has {found:,} bytes instead of {size:,}")
    if file_sha256(path) != sha256:
        raise DamagedError(f"{name} is of the right size but other content")


def is_whole(folder: Path) -> bool:
    """Whether a folder that can be made anew stands and verifies; a damaged one is named and removed."""
    if not folder.exists():
        return False
    try:
        verify(folder)
    except DamagedError as damage:
        print(f"{folder} is damaged: {damage}; making it anew", file=sys.stderr)
        remove_folder(folder)
        return False
    return True


def set_aside_damaged(folder: Path) -> None:
    """Free the place of a folder that does not verify, without losing it."""
    try:
        if folder.exists():
            verify(folder)
    except DamagedError:
        number = 1
        while (aside := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
            number += 1
        os.rename(folder, aside)
