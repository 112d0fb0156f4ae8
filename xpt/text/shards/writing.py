"""Token ids become a shard: one Parquet file with a column `ids`, a list of numbers a sentence."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xpt.program.manifest import file_sha256
from xpt.text.encoding import EncodedSentences
from xpt.text.shards.index import Shard, StoredFile

COLUMN = "ids"
ROW_GROUP = 1 << 16  # sentences


def write_shard(sentences: EncodedSentences, folder: Path, name: str) -> Shard:
    """Write `folder / name`, which appears whole or not at all; equal ids give equal bytes."""
    offsets = pa.array(np.asarray(sentences.offsets, np.int32))
    column = pa.ListArray.from_arrays(offsets, pa.array(np.asarray(sentences.ids)))
    staging = folder / f".{name}.part"
    pq.write_table(
        pa.table({COLUMN: column}), staging, row_group_size=ROW_GROUP, compression="zstd", version="2.6"
    )
    staging.replace(folder / name)
    lengths, counts = np.unique(np.diff(sentences.offsets), return_counts=True)
    pairs = tuple(zip(lengths.tolist(), counts.tolist(), strict=True))
    return Shard(stored_file(folder, name), pairs)


def read_ids(parquet: bytes | Path) -> EncodedSentences:
    """The sentences of a shard's file. Raises Arrow's errors for what `write_shard` did not write."""
    source = pa.BufferReader(parquet) if isinstance(parquet, bytes) else parquet
    column = pq.read_table(source, columns=[COLUMN]).column(0).combine_chunks()
    ids = column.flatten().to_numpy()
    lengths = column.value_lengths().to_numpy()
    return EncodedSentences(ids, np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))))


def stored_file(folder: Path, name: str) -> StoredFile:
    """What the index says of a file of the folder."""
    path = folder / name
    return StoredFile(name, path.stat().st_size, file_sha256(path))


def joined(parts: Sequence[EncodedSentences]) -> EncodedSentences:
    """Sentences of several, in their order; there must be one."""
    ends = np.cumsum([0, *(len(part.ids) for part in parts)])
    offsets = [part.offsets[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return EncodedSentences(
        np.concatenate([part.ids for part in parts]), np.concatenate([*offsets, ends[-1:]])
    )
