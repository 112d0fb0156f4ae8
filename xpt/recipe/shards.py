"""The command line that makes shards for `--corpus_shards` of any amount of text, here or on a cluster.

    xpt shards --corpus wiki/ --output_dir shards/wiki --workers 8

Sentences and splits are those that `train_xpt.py --corpus` makes. The same command again goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.options import OptionParser, option
from xpt.program.script import main_of
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

    output_dir: str | None = option(None, "The prepared folder. Default: none, it must be given.")
    work_dir: str | None = option(
        None,
        "Where clean text lies until it is encoded, on a disk that all machines see; about the size of the "
        "text. Default: beside the output, with .work behind its name.",
    )
    partitions: int = option(
        16,
        "Parts that are handled at once, each held in memory (300 bytes a sentence, not measured) and a "
        "shard or several; 16 suit 10 million sentences.",
    )
    shard_sentences: int = option(
        1 << 18, "Most sentences of a shard; training shuffles within eight shards at a time."
    )
    tasks: int = option(64, "Tasks that share the input files; more than there are files are idle.")
    workers: int = option(-1, "Tasks that run at once. Default: as many as CPUs, or on clusters all.")
    executor: Literal["local", "slurm", "ray", "here"] = option(
        "local", "datatrove's on this machine, Slurm or Ray; here: one process, without datatrove."
    )
    slurm_partition: str | None = option(None, "Slurm's partition of nodes.")
    slurm_time: str = option("24:00:00", "Slurm's limit for a task.")
    slurm_mem_gb: int = option(8, "Memory of a task on Slurm.")

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
