"""Files that appear whole or not at all: written beside their place, flushed, renamed into it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def fsync_path(path: Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_folder_atomically(folder: Path) -> Iterator[Path]:
    """Yield a staging folder; on leaving without an error it is flushed and becomes `folder`.

    A `folder` that another process finished meanwhile is kept: both hold the same content.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.staging-", dir=folder.parent))
    staging.chmod(0o755)  # a folder like any other, not one for its maker alone
    try:
        yield staging
        for file in staging.rglob("*"):
            fsync_path(file)
        fsync_path(staging)
        try:
            os.rename(staging, folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(staging)
        fsync_path(folder.parent)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def write_text_atomically(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}.staging-{os.getpid()}")
    with open(staging, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staging, path)


def write_json_atomically(path: Path, value: Any) -> None:
    """Replace the JSON file at `path` by `value` in one step."""
    write_text_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")
