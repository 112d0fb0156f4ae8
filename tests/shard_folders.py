"""Prepared folders of shards: of numbers alone, for the rooms that read them, and of text by the command."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from conftest import encoded

from xpt.recipe.shards import main
from xpt.text.shards.examples import ShardedExamples
from xpt.text.shards.index import ShardIndex
from xpt.text.shards.store import ShardStore
from xpt.text.shards.writing import write_shard
from xpt.text.special_tokens import SpecialIds

SPECIAL = SpecialIds(bos=0, pad=1, eos=2, mask=499, vocab_size=500, reserved=(0, 1, 2, 3, 499))


def numbered(sizes: list[int], seed: int, longest: int = 40) -> list[list[list[int]]]:
    """Sentences of each shard; every one of all is different, as its first two ids count."""
    random, shards, count = np.random.default_rng(seed), [], 0
    for size in sizes:
        numbers = range(count, count + size)
        lengths = random.integers(0, longest - 1, size)
        shards.append(
            [
                [4 + number // 400, 4 + number % 400, *random.integers(4, 400, length).tolist()]
                for number, length in zip(numbers, lengths, strict=True)
            ]
        )
        count += size
    return shards


def write_folder(folder: Path, shards: list[list[list[int]]]) -> Path:
    """A prepared folder without text and tokenizer."""
    folder.mkdir(parents=True)
    written = [
        write_shard(encoded(sentences), folder, f"train-{number:03d}.parquet")
        for number, sentences in enumerate(shards)
    ]
    ShardIndex(tuple(written), (), "none", SPECIAL.vocab_size, "0" * 64, "ko").write(folder)
    return folder


def open_folder(
    folder: Path | str, cache: Path, max_seq_length: int = 32, limit: int = 10**9
) -> ShardedExamples:
    return ShardedExamples(ShardStore(str(folder), cache, limit), SPECIAL, max_seq_length)


def prepare(text: Path, folder: Path, **options: object) -> Path:
    """What the command makes of a file of text, in this process."""
    settings = {"executor": "here", "vocab_size": 300, "partitions": 3, "shard_sentences": 200, **options}
    flags = [token for name, value in settings.items() for token in (f"--{name}", str(value))]
    assert main(["--corpus", str(text), "--output_dir", str(folder), *flags]) == 0
    return folder


@contextmanager
def a_folder():
    """A folder for one example of a property."""
    folder = tempfile.mkdtemp()
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # shards may still be fetched beside
