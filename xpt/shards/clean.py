"""The first stage: documents become clean sentences, each with its hash, dealt out to partitions by it.

Equal sentences meet in one partition, and which one that is has nothing to do with their split: that is read
from the upper bits of a hash, the partition from the lower ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from xpt.corpus.documents import Document
from xpt.corpus.readers import read_documents
from xpt.corpus.select import line_digest, split_hash
from xpt.corpus.sentences import DocumentCleaner
from xpt.shards.job import FILE_SHIFT, Job, read_json, tally_json, write_json

SCHEMA = pa.schema({"order": pa.uint64(), "hash": pa.uint64(), "key": pa.uint64(), "text": pa.binary()})
_AT_ONCE = 1 << 18  # sentences held before they are written


@dataclass(frozen=True)
class Clean:
    """Task t reads the files t, t + tasks, t + 2 tasks, ... and writes `clean/t.parquet`."""

    job: Job

    def __call__(self, task: int, tasks: int) -> None:
        path = self.job.file("clean", f"{task:05d}.parquet")
        cleaner, documents = DocumentCleaner(self.job.settings), 0
        groups: list[int] = []
        staging = path.with_name(f".{path.name}.part")
        with pq.ParquetWriter(staging, SCHEMA, compression="zstd") as writer:
            rows = _Rows(writer, self.job.partitions, groups)
            for number in range(task, len(self.job.sources), tasks):
                documents += self._read(number, cleaner, rows)
            rows.flush()
        staging.replace(path)
        # Which partition each row group belongs to.
        facts = {"groups": groups, "documents": documents, "tallies": [*map(tally_json, cleaner.tallies)]}
        write_json(path.with_suffix(".json"), facts)

    def _read(self, number: int, cleaner: DocumentCleaner, rows: "_Rows") -> int:
        """Read one file; the count of its documents that have a sentence."""
        entry = int(np.searchsorted(self.job.entry_ends, number, side="right"))
        settings, documents, place = self.job.settings, 0, number << FILE_SHIFT
        by_document = settings.split_by == "document"
        whole, size = split_hash(settings.split_seed), 0
        waiting: list[tuple[int, int, bytes]] = []  # of a document whose hash is not known yet
        for document in self._documents(number, entry):
            for sentence in cleaner.sentences(document):
                line = sentence.encode("utf-8")
                digest = int.from_bytes(line_digest(line, settings.split_seed), "little")
                if by_document:
                    whole.update(line + b"\n")
                    waiting.append((place, digest, line))
                else:
                    rows.append(place, digest, digest, line)
                place, size = place + 1, size + 1
            if size and not document.continued:
                key = int.from_bytes(whole.digest(), "little")
                for position, digest, line in waiting:
                    rows.append(position, digest, key, line)
                documents, waiting = documents + 1, []
                whole, size = split_hash(settings.split_seed), 0
        return documents

    def _documents(self, number: int, entry: int) -> Iterator[Document]:
        with tqdm(disable=True) as bar:
            for document in read_documents(self.job.sources[number], self.job.settings.column, bar):
                document.entry = entry
                yield document


class _Rows:
    """Sentences gathered and written, a row group a partition."""

    def __init__(self, writer: pq.ParquetWriter, partitions: int, groups: list[int]):
        self._writer, self._partitions, self._groups = writer, partitions, groups
        self._columns: tuple[list, ...] = ([], [], [], [])

    def append(self, *values: int | bytes) -> None:
        """Add a sentence: order, hash, key, text."""
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)
        if len(self._columns[0]) == _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        table = pa.table(dict(zip(SCHEMA.names, self._columns, strict=True)), schema=SCHEMA)
        partition = table["hash"].to_numpy() % np.uint64(self._partitions)
        table = table.take(np.argsort(partition, kind="stable"))
        start = 0
        for number, count in enumerate(np.bincount(partition.astype(np.int64))):
            if count:
                self._writer.write_table(table.slice(start, count), row_group_size=int(count))
                self._groups.append(number)
            start += int(count)
        self._columns = ([], [], [], [])


def read_partition(job: Job, partition: int) -> pa.Table:
    """All sentences of a partition, in corpus order."""
    tables = [SCHEMA.empty_table()]
    for path in sorted((job.work / "clean").glob("*.parquet")):
        groups = [
            n for n, owner in enumerate(read_json(path.with_suffix(".json"))["groups"]) if owner == partition
        ]
        if groups:
            tables.append(pq.ParquetFile(path).read_row_groups(groups))
    return pa.concat_tables(tables).sort_by("order").combine_chunks()
