"""`xpt study`: train many runs, show what they say, or say what they would take."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xpt.program.errors import XPTError
from xpt.program.files import check_writable, write_text_atomically
from xpt.program.interrupts import StopRequest
from xpt.program.options import OptionParser, leading
from xpt.program.script import run_program
from xpt.program.settings import option
from xpt.study.cluster import EXECUTORS, Cluster, work_on
from xpt.study.measures import Reached, collect_records, load, store
from xpt.study.pace import measured_with
from xpt.study.plan import plan_runs
from xpt.study.queue import Queue
from xpt.study.settings import Study, read_study
from xpt.study.table import as_csv, markdown

INTRODUCTION = """\
Many runs become one table and one figure: what is varied, which seeds, what is measured.

  xpt study run STUDY.yaml         train what is not trained yet; the same command goes on
  xpt study show STUDY.yaml        the table of what is finished, with 95 % intervals over seeds
  xpt study estimate STUDY.yaml    runs, tokens, hours on this machine and disk, before they are spent

  xpt study run studies/starts.yaml --jobs 2 --threads 4
  xpt study show studies/starts.yaml --store docs/results/starts.json
  xpt study show docs/results/starts.json

docs/studies.md has a study in fifteen lines. Two studies share the runs that both have."""
VERBS = ("run", "show", "estimate")
FAILED = 1  # the exit code where some runs did


@dataclass
class StudyArguments:
    """Machine and results."""

    jobs: int = option(1, "run: processes at once on this machine, a post-training or a fine-tuning each.")
    threads: int | None = option(
        None, "run: threads of each process (OMP_NUM_THREADS). Default: an even share of the cores."
    )
    executor: str | None = option(
        None,
        "run: submit each run as a job instead and wait for all: slurm, by submitit (the extra `slurm`), or "
        "local, its processes on this machine. Default: a queue on this machine.",
    )
    executor_options: list[str] | None = option(
        None,
        "Of the jobs, NAME=VALUE as submitit names them: timeout_min=600 gpus_per_node=1 "
        "slurm_partition=gpu. Default: none.",
    )
    only: str | None = option(
        None, "run: one run alone, by the name of its folder, and no table; a job does so. Default: all."
    )
    store: str | None = option(
        None,
        "run, show: one JSON file of every run's figures, settings, command, versions and hardware, of which "
        "`show` makes the same table when the folders are gone. Default: none.",
    )
    output_dir: str | None = option(
        None,
        "Folder of table.md, table.csv and figure.png. Default: NAME in the study's `output`; of a stored "
        "JSON none, only the table is printed.",
    )

    def __post_init__(self) -> None:
        for name in ("jobs", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise XPTError(f"--{name} is {value}; give at least 1")
        if self.executor not in (None, *EXECUTORS):
            raise XPTError(f"--executor {self.executor} is not supported; give {' or '.join(EXECUTORS)}")
        if self.executor_options and not self.executor:
            raise XPTError(f"--executor_options has no effect without --executor {EXECUTORS[0]}")


def make_parser() -> OptionParser:
    """The parser behind `xpt study --help`."""
    return OptionParser((StudyArguments,), "xpt study", INTRODUCTION)


def run_study(study: Study, arguments: StudyArguments, stop: StopRequest) -> int:
    """Train what is not trained yet; how many of its steps failed, each of them named."""
    check_writable(study.output, "output")
    # Not where jobs are submitted: they run on other machines than that one.
    probe = None if arguments.executor else measured_with(arguments.threads, arguments.jobs, stop)
    runs = plan_runs(study, probe)
    if arguments.only:
        runs = [run for run in runs if run.key == arguments.only]
        if not runs:
            raise XPTError(f"--only {arguments.only}: {study.path} has no such run")
    if arguments.executor:
        words = ["study", "run", str(study.path), "--jobs", str(arguments.jobs)]
        words += ["--threads", str(arguments.threads)] if arguments.threads else []
        folder = study.output / study.name / "jobs"
        failures = work_on(Cluster(arguments.executor, arguments.executor_options or (), folder), runs, words)
    else:
        queue = Queue(runs, arguments.jobs, arguments.threads, stop)
        queue.work()
        failures = queue.failures
    for failure in failures:
        print(failure, file=sys.stderr)
    return len(failures)


def show(reached: Reached, folder: Path | None, stored: str | None) -> str:
    """The table as text; written with its figure into `folder`, and stored, where these are given."""
    if folder is not None and reached.records:
        from xpt.study.figures import draw

        check_writable(folder, "--output_dir")
        folder.mkdir(parents=True, exist_ok=True)
        write_text_atomically(folder / "table.md", f"{markdown(reached)}\n")
        write_text_atomically(folder / "table.csv", as_csv(reached))
        draw(reached, folder / "figure.png")
    if stored:
        store(reached, Path(stored))
    return markdown(reached)


def _folder(arguments: StudyArguments, study: Study | None) -> Path | None:
    if arguments.output_dir:
        return Path(arguments.output_dir)
    return study.output / study.name if study else None


def _work(given: Sequence[str], stop: StopRequest, failed: list[int]) -> str:
    named = leading(given)
    (arguments,) = make_parser().read(given[len(named) :], Path).parts
    if len(named) != 2 or named[0] not in VERBS:
        raise XPTError(f"say what to do and with which study: xpt study {'|'.join(VERBS)} STUDY.yaml")
    verb, path = named[0], Path(named[1])
    if path.suffix == ".json":
        if verb != "show":
            raise XPTError(f"{path} has results; to {verb} a study takes its YAML file")
        return show(load(path), _folder(arguments, None), arguments.store)
    study = read_study(path)
    if verb == "estimate":
        from xpt.study.estimate import estimate_study

        return estimate_study(study, arguments.jobs, arguments.threads, stop)
    if verb == "run":
        failed.append(run_study(study, arguments, stop))
        if arguments.only:
            return ""
    return show(collect_records(study), _folder(arguments, study), arguments.store)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 where runs failed, else as of other commands."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    failed: list[int] = []
    code = run_program(lambda stop: _work(given, stop, failed))
    return FAILED if code == 0 and any(failed) else code
