"""The command line that makes shards for `--corpus_shards` of any amount of text, here or on a cluster.

    xpt shards --corpus wiki/ --output_dir shards/wiki --workers 8

Sentences and splits are those that `train_xpt.py --corpus` makes. The same command again goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.options import OptionParser
from xpt.program.script import main_of
from xpt.program.settings import option_of
from xpt.recipe.corpus import CorpusArguments
from xpt.recipe.tokenizer import TokenizerArguments
from xpt.text.shards.prepare import ShardSettings, prepare

INTRODUCTION = """\
Make shards for --corpus_shards of train_xpt.py of any amount of text: cleaned, split, without repetitions,
as token ids in Parquet files.

  xpt shards --corpus TEXT ... --output_dir FOLDER

Sentences and splits are those that `train_xpt.py --corpus` makes of the same text. The same command again
goes on where it was stopped. docs/scale.md has the lines for Slurm and Ray."""
WHY_NOT = "is not for shards: it compares all sentences at once, which no machine holds"
REFUSED = {
    "corpus_shards": "names what this command makes; use --output_dir",
    "shard_cache_gb": "is for training",
    "attribution": "is for training",
    "corpus_weights": "is not for shards: prepare each entry with --train_sentences of its own",
    "near_duplicates": WHY_NOT,
    "near_duplicate_threshold": WHY_NOT,
}


@dataclass
class PrepareArguments:
    """Shards: where they go, and who does the work."""

    output_dir: str | None = option_of(ShardSettings, "output", default=None)
    work_dir: str | None = option_of(ShardSettings, "work")
    partitions: int = option_of(ShardSettings, "partitions")
    shard_sentences: int = option_of(ShardSettings, "shard_sentences")
    tasks: int = option_of(ShardSettings, "tasks")
    workers: int = option_of(ShardSettings, "workers")
    executor: Literal["local", "slurm", "ray", "here"] = option_of(ShardSettings, "executor")
    slurm_partition: str | None = option_of(ShardSettings, "slurm_partition")
    slurm_time: str = option_of(ShardSettings, "slurm_time")
    slurm_mem_gb: int = option_of(ShardSettings, "slurm_mem_gb")

    def settings(self) -> ShardSettings:
        """The same as the preparation takes it."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        output, work = Path(str(values.pop("output_dir"))), values.pop("work_dir")
        return ShardSettings(output, Path(work) if work else None, **values)


def make_parser() -> OptionParser:
    """The parser behind `xpt shards --help`."""
    types = (CorpusArguments, TokenizerArguments, PrepareArguments)
    return OptionParser(types, "xpt shards", INTRODUCTION, REFUSED)


def _prepare(arguments: Sequence[str]) -> str:
    corpus, tokenizer, given = make_parser().read(arguments, Path).parts
    for name in ("corpus", "output_dir"):
        if not getattr(corpus if name == "corpus" else given, name):
            raise XPTError(f"no --{name} given (see --help)")
    for name in ("partitions", "shard_sentences", "tasks"):
        if getattr(given, name) < 1:
            raise XPTError(f"--{name} is {getattr(given, name)}: give a positive number")
    if given.executor == "slurm" and not given.slurm_partition:
        raise XPTError("--executor slurm needs --slurm_partition")
    return prepare(corpus.settings(), tokenizer.settings(corpus.language), given.settings())


main = main_of(_prepare)
