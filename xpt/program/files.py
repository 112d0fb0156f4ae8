"""Files that appear whole or not at all: written beside their place, flushed, renamed into it."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError

# In the name of everything that is not finished yet, or about to be deleted; a later start removes it.
STAGING = ".staging-"
STALE_SECONDS = 86_400.0  # without a write; then nobody is at it any more


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
    _remove_stale(folder)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}{STAGING}", dir=folder.parent))
    try:
        staging.chmod(0o755)  # a folder like any other, not one for its maker alone
        yield staging
        _settle(staging)
        fsync_path(staging)
        try:
            os.rename(staging, folder)
        except OSError:
            if not folder.exists():
                raise
            shutil.rmtree(staging)
        fsync_path(folder.parent)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(folder)) from error  # a full disk names no file
        raise


def _settle(folder: Path) -> None:
    """Flush what a folder holds, files readable by others: safetensors writes some for their maker alone."""
    for path in list(folder.rglob("*")):
        if path.is_file():
            path.chmod(0o644)
        fsync_path(path)


def _remove_stale(folder: Path) -> None:
    """Delete what killed processes left of making `folder`; another one may be at it right now."""
    for staging in folder.parent.glob(f".{folder.name}{STAGING}*"):
        with suppress(OSError):
            newest = max(path.stat().st_mtime for path in (staging, *staging.rglob("*")))
            if time.time() - newest > STALE_SECONDS:
                shutil.rmtree(staging)


@contextmanager
def replace_files(folder: Path) -> Iterator[Path]:
    """Yield a staging folder; on leaving without an error what it holds replaces the same of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".files{STAGING}", dir=folder))
    try:
        yield staging
        _settle(staging)
        for path in staging.iterdir():
            if path.is_dir():
                remove_folder(folder / path.name)
            os.replace(path, folder / path.name)
        fsync_path(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Replace the file at `path` by `text` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_name(f".{path.name}{STAGING}{os.getpid()}")
    try:
        # What is no Unicode (a path of other bytes) becomes the escape that JSON has for it.
        with open(staging, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(staging, path)
        fsync_path(path.parent)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise


def write_json_atomically(path: Path, value: Any) -> None:
    """Replace the JSON file at `path` by `value` in one step."""
    write_text_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_record(path: Path, content: Any) -> None:
    """Replace the JSON file at `path` by `content` and its hash, so that damage shows when it is read."""
    content = json.loads(json.dumps(content))
    write_json_atomically(path, {"sha256": _content_hash(content), "content": content})


def read_record(path: Path) -> Any:
    """The content that `write_record` wrote. Raises `ValueError` for any other file, `OSError` for none."""
    return parse_record(path.read_bytes())


def parse_record(text: bytes) -> Any:
    """The content of a record's text. Raises `ValueError` for any other."""
    record = json.loads(text.decode("utf-8"))
    if not isinstance(record, dict) or set(record) != {"sha256", "content"}:
        raise ValueError("it is no record")
    if record["sha256"] != _content_hash(record["content"]):
        raise ValueError("its content is not what was written")
    return record["content"]


def _content_hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def remove_folder(folder: Path) -> None:
    """Delete a folder, if it is there; interrupted, no half of it is left under its own name."""
    if not folder.exists():
        return
    doomed = folder.with_name(f".{folder.name}{STAGING}removed-{os.getpid()}")
    os.rename(folder, doomed)
    try:
        shutil.rmtree(doomed)
    except BaseException:  # a signal, say, that ends the program in between
        shutil.rmtree(doomed, ignore_errors=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes left unfinished, at any depth of `folder`."""
    for leftover in list(folder.glob(f"**/.*{STAGING}*")):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def check_writable(folder: Path, option: str) -> None:
    """Raise `XPTError` where nothing can be written in `folder`, or it cannot be made; leaves no trace."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise XPTError(
            f"{option} {folder}: {existing} cannot be written ({error.strerror or error}); "
            "give a folder of your own"
        ) from error


def free_bytes(folder: Path) -> int:
    """Room left on the disk of `folder`, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
