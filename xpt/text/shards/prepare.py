"""From text to shards, on one machine or a cluster, in stages that any number of tasks share.

Sentences and splits are those that a corpus of one machine has. Prepared again, it goes on where it stopped.
"""

import os
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.files import check_writable
from xpt.program.settings import option
from xpt.text.corpus import CorpusSettings, format_corpus_report
from xpt.text.corpus.build import find_inputs
from xpt.text.corpus.settings import digest_json
from xpt.text.corpus.store import Corpus
from xpt.text.shards.engine import Engine
from xpt.text.shards.index import INDEX_FILE, ShardIndex
from xpt.text.shards.job import Job, read_json, write_json
from xpt.text.shards.opening import CORPUS
from xpt.text.shards.stages import stages_of
from xpt.text.tokenizer import load_tokenizer
from xpt.text.tokenizer_settings import TokenizerSettings


@dataclass(frozen=True)
class ShardSettings:
    """Where shards go, and who does the work; see the options of `xpt shards`."""

    output: Path = option(MISSING, "The prepared folder. Default: none, it must be given.")
    work: Path | None = option(
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


def prepare(corpus: CorpusSettings, tokenizer: TokenizerSettings, given: ShardSettings) -> str:
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


def _job(corpus: CorpusSettings, tokenizer: TokenizerSettings, given: ShardSettings) -> Job:
    if tokenizer.name:
        load_tokenizer(tokenizer.name)  # a mistake is found before the text is read
    output = given.output.absolute()
    work = given.work.absolute() if given.work else output.with_name(f"{output.name}.work")
    inputs, passed_over = find_inputs(corpus)
    return Job(
        corpus,
        tuple(map(tuple, inputs)),
        tuple(passed_over),
        tokenizer,
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
    key = digest_json([asdict(job.settings), inputs, job.tokenizer.decisive(), sizes])
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
