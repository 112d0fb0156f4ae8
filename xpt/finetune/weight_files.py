"""The files of a model's weights: their hash, by which a result finds its model; pickles are told apart."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from transformers.utils import (
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
    cached_file,
)

from xpt.program.errors import XPTError
from xpt.program.manifest import file_sha256

WHOLE = (SAFE_WEIGHTS_NAME, WEIGHTS_NAME)
INDEXES = {SAFE_WEIGHTS_NAME: SAFE_WEIGHTS_INDEX_NAME, WEIGHTS_NAME: WEIGHTS_INDEX_NAME}


@dataclass(frozen=True)
class WeightFiles:
    """The files of one checkpoint's weights, in order; `commit` is that of the Hub."""

    paths: tuple[Path, ...]
    commit: str | None

    @property
    def pickled(self) -> bool:
        """Whether they are pickles, which are read with `weights_only=True`."""
        return self.paths[0].suffix != ".safetensors"

    @property
    def sha256(self) -> str:
        """Of the file; of several, of their hashes."""
        hashes = [file_sha256(path) for path in self.paths]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def find_weights(name: str, revision: str | None) -> WeightFiles:
    """The weights that transformers would read: safetensors before pickles.

    Args:
        name: folder or Hub id.

    Raises:
        XPTError: there are none.
    """
    for whole in WHOLE:
        path = _find(name, whole, revision)
        if path is not None:
            return _found(name, (path,))
        index = _find(name, INDEXES[whole], revision)
        if index is not None:
            try:
                shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
            except (ValueError, KeyError, AttributeError) as error:
                raise XPTError(f"{name}: {index.name} names no shards; get the model again") from error
            paths = [_find(name, shard, revision) for shard in shards]
            if not paths or None in paths:
                raise XPTError(f"{name}: a shard that {index.name} names is missing; get the model again")
            return _found(name, tuple(path for path in paths if path is not None))
    raise XPTError(f"{name}: has neither {' nor '.join(WHOLE)}; get the model again")


def _find(name: str, file: str, revision: str | None) -> Path | None:
    found = cached_file(
        name,
        file,
        revision=revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def _found(name: str, paths: tuple[Path, ...]) -> WeightFiles:
    on_hub = not Path(name).is_dir()
    return WeightFiles(paths, paths[0].parent.name if on_hub else None)
