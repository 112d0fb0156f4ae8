"""A prepared folder, here or behind a URL: small files are copied once, shards fetched when they are needed.

Fetched shards lie in a cache folder as plain arrays, mapped into memory, so that all processes and workers of
a machine share one copy. The least recently opened ones go where the cache would grow beyond its limit.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa

from xpt.program.errors import XPTError
from xpt.program.files import write_folder_atomically
from xpt.program.manifest import is_whole, write_manifest
from xpt.text.arrays import ArrayWriter
from xpt.text.corpus.folders import printable
from xpt.text.encoding import EncodedSentences
from xpt.text.shards.credentials import check_place
from xpt.text.shards.index import INDEX_FILE, Shard, ShardIndex, StoredFile
from xpt.text.shards.writing import read_ids

_TRIES = 3  # another process may remove a shard between its arrival and its opening


class ShardStore:
    """The files of one prepared folder, by way of a cache.

    Args:
        place: a folder, or a URL of any kind that fsspec knows (hf://, s3://, gs://, https://, ...).
        cache: where copies are kept.
        limit: bytes that fetched shards may take there.
    """

    def __init__(self, place: str, cache: Path, limit: int):
        check_place(place)
        self.place, self.cache, self.limit = place, cache, limit
        self._checked: set[str] = set()  # names of shards that this process found whole in the cache
        self.fetching: Thread | None = None  # the newest one

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "cache": self.cache, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # ---- small files -------------------------------------------------------------------------------------

    @cached_property
    def index(self) -> ShardIndex:
        """What the folder holds. Raises `XPTError` where it is none, or damaged."""
        content = self._read(INDEX_FILE)
        try:
            return ShardIndex.parse(content)
        except ValueError as error:
            raise XPTError(
                f"{self.name}/{INDEX_FILE} is damaged ({error}); copy or prepare the folder again"
            ) from error

    @cached_property
    def folder(self) -> Path:
        """A copy of all files of the folder but its shards, verified."""
        folder = self.cache / "files" / self.index.fingerprint[:24]
        if not is_whole(folder):
            with write_folder_atomically(folder) as staging:
                for file in self.index.files:
                    target = staging / file.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(self._verified(file))
                write_manifest(staging, {})
        return folder

    # ---- shards ------------------------------------------------------------------------------------------

    def open(self, shard: Shard) -> EncodedSentences:
        """The sentences of a shard, mapped from the cache; fetched where it is not there."""
        folder = self._cached(shard)
        for _ in range(_TRIES):
            self._fetch(shard)
            with suppress(FileNotFoundError):
                os.utime(folder)
                return EncodedSentences.load(folder)
        raise XPTError(
            f"{shard.file.name} was removed from {self.cache} again and again; give more --shard_cache_gb"
        )

    def prefetch(self, shards: Sequence[Shard]) -> None:
        """Fetch shards beside what goes on; what fails then is said when they are opened."""
        # Not an executor's thread: the end of the program would wait for all that is still to be fetched.
        self.fetching = Thread(target=self._fetch_all, args=(tuple(shards),), daemon=True)
        self.fetching.start()

    def _fetch_all(self, shards: Sequence[Shard]) -> None:
        with suppress(XPTError, OSError):
            for shard in shards:
                self._fetch(shard)

    def require_room(self, shards: Sequence[Shard], count: int) -> None:
        """Raise `XPTError` where the cache may not hold the `count` largest of `shards` at once."""
        needed = sum(sorted((_decoded_bytes(self.index, shard) for shard in shards), reverse=True)[:count])
        if needed > self.limit:
            raise XPTError(
                f"--shard_cache_gb is {self.limit / 1e9:g}, but {min(count, len(shards))} shards of "
                f"{self.name} are read at once: give at least {needed / 1e9:.3g}"
            )

    def _cached(self, shard: Shard) -> Path:
        return self.cache / "ids" / shard.file.sha256[:24]

    def _fetch(self, shard: Shard) -> None:
        folder = self._cached(shard)
        if shard.file.name in self._checked and folder.exists():
            return
        with _locked(folder.parent / f".{folder.name}.lock"):
            self._checked.add(shard.file.name)
            if is_whole(folder):
                return
            content = self._verified(shard.file)
            try:
                sentences = read_ids(content)
            except (pa.ArrowException, KeyError) as error:
                raise XPTError(f"{self.name}/{shard.file.name} is no shard ({error})") from error
            with write_folder_atomically(folder) as staging:
                _write_array(staging / "ids.npy", sentences.ids)
                _write_array(staging / "offsets.npy", sentences.offsets)
                write_manifest(staging, {})
            self._make_room(folder)

    def _make_room(self, newest: Path) -> None:
        """Remove the shards that were not opened for longest, as far as the limit asks for."""
        found = []
        for folder in newest.parent.iterdir():
            with suppress(OSError):  # another process removes, too
                if not folder.name.startswith("."):
                    size = sum(file.stat().st_size for file in folder.iterdir())
                    found.append((folder.stat().st_mtime_ns, size, folder))
        total = sum(size for _, size, _ in found)
        for _, size, folder in sorted(found):
            if total <= self.limit or folder == newest:
                return
            shutil.rmtree(folder, ignore_errors=True)  # who has it mapped keeps it until it is closed
            total -= size

    # ---- bytes -------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The place as messages show it."""
        return printable(self.place.rstrip("/"))

    def _read(self, name: str) -> bytes:
        try:
            system, root = fsspec.core.url_to_fs(self.place)
            return system.cat_file(str(PurePosixPath(root) / name))
        except FileNotFoundError as error:
            raise XPTError(
                f"{self.name} holds no {name}; name a folder or URL that `xpt shards` made"
            ) from error
        except (OSError, ValueError, ImportError) as error:  # ValueError: a protocol that nobody knows
            reason = " ".join(str(error).split())[:200]
            raise XPTError(
                f"{self.name}/{name} cannot be read ({reason}); the same command goes on"
            ) from error

    def _verified(self, file: StoredFile) -> bytes:
        content = self._read(file.name)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise XPTError(
                f"{self.name}/{file.name} is damaged: {len(content):,} bytes that are not the "
                f"{file.bytes:,} of its index; copy or prepare the folder again"
            )
        return content


def _decoded_bytes(index: ShardIndex, shard: Shard) -> int:
    return shard.tokens * (2 if index.vocab_size <= 1 << 16 else 4) + 8 * (shard.sentences + 1) + 1024


def _write_array(path: Path, values: np.ndarray) -> None:
    with ArrayWriter(path, values.dtype) as file:
        file.append(values)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock dies with its holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough: a worker forked meanwhile has it, too
