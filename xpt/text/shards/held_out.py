"""The third stage, one task: what limits mean across partitions, the held-out text, and the tokenizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from xpt.program.files import write_folder_atomically
from xpt.text.arrays import ArrayWriter
from xpt.text.corpus.settings import SPLIT_NAMES
from xpt.text.corpus.store import offsets_file, text_file
from xpt.text.shards.deduplicate import read_kept
from xpt.text.shards.job import Job, count_letters, read_json, write_json
from xpt.text.shards.opening import CORPUS, TOKENIZER
from xpt.text.tokenizer import load_tokenizer, save_tokenizer
from xpt.text.tokenizer_training import train_tokenizer

HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class HoldOut:
    """Writes the limits, `corpus/` and `tokenizer/` of the output; what stands there is kept."""

    job: Job

    def __call__(self, task: int, tasks: int) -> None:
        job = self.job
        limits = {name: self._limit(name) for name in SPLIT_NAMES}
        write_json(job.file("limits", "limits.json"), limits)
        if not (job.output / CORPUS).exists():
            with write_folder_atomically(job.output / CORPUS) as folder:
                facts = {name: self._write(name, folder) for name in HELD_OUT}
                write_json(job.file("limits", "held_out.json"), facts)
        if not (job.output / TOKENIZER).exists():
            with write_folder_atomically(job.output / TOKENIZER) as folder:
                save_tokenizer(self._tokenizer(), folder)

    def _limit(self, split: str) -> list[int] | None:
        """Key and place of the last sentence within the split's limit; None where all stay."""
        limit = self.job.settings.limit(split)
        if limit is None:
            return None
        keys = order = np.empty(0, np.uint64)
        for partition in range(self.job.partitions):
            table = read_kept(self.job, partition, split, ["key", "order"])
            keys = np.concatenate([keys, table["key"].to_numpy()])
            order = np.concatenate([order, table["order"].to_numpy()])
            lowest = np.lexsort((order, keys))[:limit]
            keys, order = keys[lowest], order[lowest]
        return [int(keys[-1]), int(order[-1])] if len(keys) == limit else None

    def _write(self, split: str, folder: Path) -> dict:
        """Write a held-out split in corpus order; what the report says of it."""
        parts = [read_within(self.job, partition, split) for partition in range(self.job.partitions)]
        table = pa.concat_tables(parts).sort_by("order")
        lines = table["text"].to_pylist()
        text_file(folder, split).write_bytes(b"".join(line + b"\n" for line in lines))
        with ArrayWriter(offsets_file(folder, split), np.int64) as offsets:
            offsets.append(np.cumsum([0, *(len(line) + 1 for line in lines)]))
        bounds = self.job.bounds(table["order"].to_numpy())
        entries = [lines[start:end] for start, end in pairwise(bounds)]
        return {"kept": [*map(len, entries)], "characters": [dict(count_letters(entry)) for entry in entries]}

    def _tokenizer(self):
        choice = self.job.tokenizer
        if choice.name:
            return load_tokenizer(choice.name)
        return train_tokenizer(
            _Text(self.job, choice.sentences),
            choice.vocab_size,
            choice.model_type,
            segmenter=choice.segmenter(),
            **choice.characters,
        )


class _Text:
    """The first partitions' training sentences, up to a count: which one a sentence is in is chance."""

    def __init__(self, job: Job, count: int | None):
        self._job, self._count = job, count

    def __iter__(self) -> Iterator[str]:
        left = self._count
        for partition in range(self._job.partitions):
            lines = read_within(self._job, partition, "train").sort_by("hash")["text"]
            lines = lines if left is None else lines[:left]
            yield from (line.decode("utf-8") for line in lines.to_pylist())
            left = None if left is None else left - len(lines)
            if left == 0:
                return


def read_within(job: Job, partition: int, split: str) -> pa.Table:
    """Sentences of a split in one partition, in corpus order, without those beyond its limit."""
    table, limit = read_kept(job, partition, split), read_json(job.work / "limits" / "limits.json")[split]
    if limit is None:
        return table
    key, order = table["key"].to_numpy(), table["order"].to_numpy()
    last_key, last_order = np.uint64(limit[0]), np.uint64(limit[1])
    within = (key < last_key) | ((key == last_key) & (order <= last_order))
    return table.filter(pa.array(within))
