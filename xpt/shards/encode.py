"""The fourth stage: the training sentences of a partition become shards, in the order of their hashes.

So what a shard holds depends on the text, the tokenizer and the number of partitions alone.
"""

import hashlib
from dataclasses import asdict, dataclass
from itertools import pairwise
from tempfile import TemporaryDirectory

import numpy as np

from xpt.encoding import encode_sentences
from xpt.shards.held_out import read_within
from xpt.shards.job import Job, count_letters, write_json
from xpt.shards.opening import TOKENIZER
from xpt.shards.writing import write_shard
from xpt.special_tokens import id_count
from xpt.tokenizer import load_tokenizer


@dataclass(frozen=True)
class Encode:
    """Task p writes `train-p-*.parquet` and what the index will say of them."""

    job: Job

    def __call__(self, task: int, tasks: int) -> None:
        job, table = self.job, read_within(self.job, task, "train")
        bounds = job.bounds(table["order"].to_numpy())
        lines = table["text"].to_pylist()
        entries = [lines[start:end] for start, end in pairwise(bounds)]
        characters = [dict(count_letters(entry)) for entry in entries]
        lines = table.sort_by("hash")["text"].to_pylist()
        tokenizer = load_tokenizer(str(job.output / TOKENIZER))
        vocab_size = id_count(tokenizer)
        counts, shards = np.zeros(vocab_size, np.int64), []
        pieces = np.array_split(np.arange(len(lines)), -(-len(lines) // job.shard_sentences) or 1)
        for number, piece in enumerate(pieces if lines else []):
            text = [line.decode("utf-8") for line in lines[piece[0] : piece[-1] + 1]]
            with TemporaryDirectory(dir=job.work) as folder:
                ids = encode_sentences(text, tokenizer, job.work / folder / "ids", "Encoding")
                counts += ids.counts(vocab_size)
                shards.append(asdict(write_shard(ids, job.output, f"train-{task:05d}-{number:03d}.parquet")))
        sha256 = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
        np.save(job.file("encoded", f"{task:05d}.npy"), counts)
        facts = {"shards": shards, "kept": [*map(len, entries)], "characters": characters, "sha256": sha256}
        write_json(job.file("encoded", f"{task:05d}.json"), facts)
