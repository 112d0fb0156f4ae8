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
from xpt.study.measures import Reached, collect_records, load, store
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


def make_parser() -> OptionParser:
    """The parser behind `xpt study --help`."""
    return OptionParser((StudyArguments,), "xpt study", INTRODUCTION)


def run_study(study: Study, arguments: StudyArguments, stop: StopRequest) -> int:
    """Train what is not trained yet; how many of its steps failed, each of them named."""
    check_writable(study.output, "output")
    from xpt.study.pace import measured_with

    runs = plan_runs(study, measured_with(arguments.threads, arguments.jobs, stop))
    queue = Queue(runs, arguments.jobs, arguments.threads, stop)
    queue.work()
    for failure in queue.failures:
        print(failure, file=sys.stderr)
    return len(queue.failures)


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
    return show(collect_records(study), _folder(arguments, study), arguments.store)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 1 where runs failed, else as of other commands."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    failed: list[int] = []
    code = run_program(lambda stop: _work(given, stop, failed))
    return FAILED if code == 0 and any(failed) else code
