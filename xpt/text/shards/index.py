"""What a prepared folder holds: its shards with their lengths, its other files, the vocabulary they speak.

`shards.json` is written last and carries the hash of its content, so that its presence means a whole folder.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xpt.program.files import parse_record, write_record

INDEX_FILE = "shards.json"
FORMAT = 1


@dataclass(frozen=True)
class StoredFile:
    """A file of the folder as it was written."""

    name: str  # its path inside the folder, with "/"
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """A Parquet file of token ids, and how many of its sentences have how many of them."""

    file: StoredFile
    lengths: tuple[tuple[int, int], ...]  # (tokens, sentences), ascending; without special tokens

    @property
    def sentences(self) -> int:
        """How many it holds."""
        return sum(count for _, count in self.lengths)

    @property
    def tokens(self) -> int:
        """Its ids, without special tokens."""
        return sum(length * count for length, count in self.lengths)

    def example_lengths(self, max_seq_length: int) -> tuple[np.ndarray, np.ndarray]:
        """Different lengths of its examples, ascending, `<s>` and `</s>` included, and how many have each.

        Sentences are cut as `xpt.text.examples.Examples` cuts them.
        """
        content = max_seq_length - 2
        total = np.zeros(max_seq_length + 1, np.int64)
        for length, count in self.lengths:
            whole, rest = divmod(length, content)
            total[max_seq_length] += whole * count
            if rest:
                total[rest + 2] += count
        lengths = np.flatnonzero(total)
        return lengths, total[lengths]


@dataclass(frozen=True)
class ShardIndex:
    """The shards of the training split, the other files, and what text and ids depend on."""

    shards: tuple[Shard, ...]
    files: tuple[StoredFile, ...]
    tokenizer: str  # fingerprint
    vocab_size: int
    fingerprint: str  # of all text and ids
    language: str

    def write(self, folder: Path) -> None:
        """Finish a prepared folder."""
        write_record(folder / INDEX_FILE, {"format": FORMAT, **asdict(self)})

    @classmethod
    def parse(cls, text: bytes) -> "ShardIndex":
        """The index that `write` wrote. Raises `ValueError` for any other text."""
        content = parse_record(text)
        if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
            raise ValueError("it is of another format")
        try:
            shards = tuple(read_shard(shard) for shard in content.pop("shards"))
            files = tuple(StoredFile(**file) for file in content.pop("files"))
            return cls(shards, files, **content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is not complete ({error})") from error


def read_shard(value: Mapping[str, Any]) -> Shard:
    """The shard that `asdict` and JSON made `value` of."""
    return Shard(StoredFile(**value["file"]), tuple((length, count) for length, count in value["lengths"]))


def shard_json(shard: Shard) -> str:
    """A shard as one line of JSON, for the stages of a preparation."""
    return json.dumps(asdict(shard))
