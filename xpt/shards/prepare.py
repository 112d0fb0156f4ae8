"""Make shards for `--corpus_shards` of any amount of text, on one machine or a cluster.

    python -m xpt.shards.prepare --corpus wiki/ --output_dir shards/wiki --workers 8

Sentences and splits are those that `train_xpt.py --corpus` makes. The same command again goes on.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from xpt.corpus import CorpusSettings, format_corpus_report
from xpt.corpus.build import find_inputs
from xpt.corpus.settings import digest_json
from xpt.corpus.store import Corpus
from xpt.errors import XPTError
from xpt.files import check_writable
from xpt.options import OptionParser, option
from xpt.preparation import character_settings
from xpt.program import run_program
from xpt.recipe import CorpusArguments, TokenizerArguments
from xpt.shards.engine import Engine
from xpt.shards.index import INDEX_FILE, ShardIndex
from xpt.shards.job import Job, TokenizerChoice, read_json, write_json
from xpt.shards.opening import CORPUS
from xpt.shards.stages import stages_of
from xpt.tokenizer import load_tokenizer

INTRODUCTION = """\
Make shards for --corpus_shards of train_xpt.py of any amount of text: cleaned, split, without repetitions,
as token ids in Parquet files.

  python -m xpt.shards.prepare --corpus TEXT ... --output_dir FOLDER

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


def prepare(corpus: CorpusSettings, tokenizer: TokenizerArguments, given: PrepareArguments) -> str:
    """Make the folder, or hand the work to Slurm; what is printed.

    Raises `XPTError` for inputs that are missing or damaged, and for a folder that holds something else.
    """
    job = _job(corpus, tokenizer, given)
    if (job.output / INDEX_FILE).exists():
        return f"{job.output} is finished; this changes nothing\n{describe(job.output)}"
    _claim(job)
    workers = given.workers
    if workers < 1 and given.executor == "local":
        workers = os.cpu_count() or 1
    slurm = {
        "partition": given.slurm_partition,
        "time": given.slurm_time,
        "mem_per_cpu_gb": given.slurm_mem_gb,
    }
    logs = job.work.with_name(f"{job.work.name}-logs")
    Engine(given.executor, workers, logs, slurm).run(stages_of(job, min(given.tasks, len(job.sources))))
    if given.executor == "slurm":
        return f"handed to Slurm; logs are in {logs}, and {job.output / INDEX_FILE} appears last"
    return describe(job.output)


def describe(folder: Path) -> str:
    """What a prepared folder holds, in a few lines."""
    index = ShardIndex.parse((folder / INDEX_FILE).read_bytes())
    sentences, tokens = (sum(getattr(s, what) for s in index.shards) for what in ("sentences", "tokens"))
    head = f"{folder}: {len(index.shards):,} shards, {sentences:,} training sentences, {tokens:,} tokens"
    return f"{head}\n{format_corpus_report(Corpus(folder / CORPUS).report)}"


def _job(corpus: CorpusSettings, tokenizer: TokenizerArguments, given: PrepareArguments) -> Job:
    output = Path(str(given.output_dir)).absolute()
    if tokenizer.tokenizer_name_or_path:
        load_tokenizer(tokenizer.tokenizer_name_or_path)  # a mistake is found before the text is read
    choice = TokenizerChoice(
        tokenizer.tokenizer_name_or_path,
        tokenizer.vocab_size,
        tokenizer.tokenizer_model_type,
        tokenizer.tokenizer_sentences,
        character_settings(corpus.language),
    )
    work = Path(given.work_dir).absolute() if given.work_dir else output.with_name(f"{output.name}.work")
    inputs, passed_over = find_inputs(corpus)
    return Job(
        corpus,
        tuple(map(tuple, inputs)),
        tuple(passed_over),
        choice,
        work,
        output,
        given.partitions,
        given.shard_sentences,
    )


def _claim(job: Job) -> None:
    """Make the folders, or find those of the same job. Raises `XPTError` where others hold something."""
    for folder, option_name in ((job.output, "--output_dir"), (job.work, "--work_dir")):
        check_writable(folder, option_name)
    inputs = [[source.identity for source in sources] for sources in job.inputs]
    sizes = [job.partitions, job.shard_sentences]
    key = digest_json([asdict(job.settings), inputs, asdict(job.tokenizer), sizes])
    claim = job.work / "job.json"
    if claim.exists():
        if read_json(claim) != key:
            raise XPTError(
                f"{job.work} holds the work of another preparation: repeat its command, or give another "
                "--output_dir"
            )
        return
    if any(folder.exists() and any(folder.iterdir()) for folder in (job.output, job.work)):
        raise XPTError(f"{job.output} or {job.work} is not empty: give another --output_dir")
    for folder in (job.output, job.work):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(claim, key)


def _prepare(arguments: Sequence[str]) -> str:
    types = (CorpusArguments, TokenizerArguments, PrepareArguments)
    parser = OptionParser(types, "python -m xpt.shards.prepare", INTRODUCTION, REFUSED)
    corpus, tokenizer, given = parser.read(arguments, Path).parts
    for name in ("corpus", "output_dir"):
        if not getattr(corpus if name == "corpus" else given, name):
            raise XPTError(f"no --{name} given (see --help)")
    for name in ("partitions", "shard_sentences", "tasks"):
        if getattr(given, name) < 1:
            raise XPTError(f"--{name} is {getattr(given, name)}: give a positive number")
    if given.executor == "slurm" and not given.slurm_partition:
        raise XPTError("--executor slurm needs --slurm_partition")
    return prepare(corpus.settings(), tokenizer, given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives back the exit code of `run_program`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(lambda stop: _prepare(given))


if __name__ == "__main__":
    sys.exit(main())
