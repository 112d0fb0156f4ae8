"""The second stage: of equal sentences one stays, in the split where `xpt.text.corpus` keeps it.

A task holds one partition: some hundred bytes a sentence.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xpt.text.corpus.select import drop_duplicates, keep_lowest, split_codes
from xpt.text.corpus.settings import SPLIT_NAMES
from xpt.text.shards.clean import read_partition
from xpt.text.shards.job import Job, write_json


@dataclass(frozen=True)
class Deduplicate:
    """Task p writes `kept/p-SPLIT.parquet` for each split, in corpus order, and what it dropped."""

    job: Job

    def __call__(self, task: int, tasks: int) -> None:
        table = read_partition(self.job, task)
        order, hashes, keys = (table[name].to_numpy() for name in ("order", "hash", "key"))
        codes, bounds = split_codes(keys), self.job.bounds(order)
        duplicates, leaked = drop_duplicates(hashes, codes, bounds)
        facts = {"duplicates": duplicates.tolist(), "leaked": leaked.tolist(), "available": {}}
        for split, name in enumerate(SPLIT_NAMES):
            facts["available"][name] = np.histogram(np.flatnonzero(codes == split), bounds)[0].tolist()
            if (limit := self.job.settings.limit(name)) is not None:
                # What is not among the lowest here is not among the lowest of all.
                keep_lowest(keys, codes, split, limit)
            path = self.job.file("kept", f"{task:05d}-{name}.parquet")
            staging = path.with_name(f".{path.name}.part")
            pq.write_table(table.take(pa.array(np.flatnonzero(codes == split))), staging, compression="zstd")
            staging.replace(path)
        write_json(self.job.file("kept", f"{task:05d}.json"), facts)


def read_kept(job: Job, partition: int, split: str, columns: list[str] | None = None) -> pa.Table:
    """Sentences of a split in one partition, in corpus order; before limits are drawn across partitions."""
    return pq.read_table(job.work / "kept" / f"{partition:05d}-{split}.parquet", columns=columns)
