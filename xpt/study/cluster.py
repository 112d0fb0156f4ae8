"""Runs of a study as jobs of a cluster, by submitit: a job works through the steps of one run.

A job is the command `xpt study run STUDY --only RUN`, so that what is finished, locked or failed is known
there as it is on one machine. submitit pickles that command line for the job; nothing else is, and the job's
own result, which would be unpickled here, is not read.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from xpt.program.errors import XPTError
from xpt.study.plan import PlannedRun
from xpt.study.queue import Failure, last_lines

EXECUTORS = ("slurm", "local")
PAUSE = 2.0  # seconds between two looks at the jobs


@dataclass(frozen=True)
class Cluster:
    """Where jobs go.

    Args:
        executor: one of `EXECUTORS`; local ones are processes of this machine, for trying it.
        options: NAME=VALUE, as submitit names them.
        folder: of submitit's scripts and of what jobs print.
    """

    executor: str
    options: Sequence[str]
    folder: Path

    def submit(self, runs: Sequence[PlannedRun], words: Sequence[str]) -> dict[str, Any]:
        """A job for each run, by the run's key.

        Args:
            runs: that are not finished.
            words: of the `xpt` command that works through all of them.

        Raises:
            XPTError: submitit or the cluster is not there, or an option is none.
        """
        try:
            import submitit
        except ImportError as error:
            raise XPTError("--executor needs submitit: pip install 'xpt[slurm]'") from error
        try:
            executor = submitit.AutoExecutor(self.folder, cluster=self.executor)
            executor.update_parameters(name="xpt-study", **_parameters(self.options))
        except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
            raise XPTError(f"--executor {self.executor}: {' '.join(str(error).split())}") from error
        command = [sys.executable, "-m", "xpt.command", *words, "--only"]
        with executor.batch():
            jobs = [executor.submit(submitit.helpers.CommandFunction([*command, run.key])) for run in runs]
        return dict(zip((run.key for run in runs), jobs, strict=True))


def _parameters(options: Sequence[str]) -> dict[str, Any]:
    pairs = [option.partition("=") for option in options]
    for name, equals, value in pairs:
        if not (name and equals and value):
            raise XPTError(f"--executor_options: {name}{equals}{value} is no NAME=VALUE")
    return {name: yaml.safe_load(value) for name, _, value in pairs}


def work_on(cluster: Cluster, runs: Sequence[PlannedRun], words: Sequence[str]) -> list[Failure]:
    """Submit what is not finished and wait; what failed. Stopped, it leaves the jobs to the cluster."""
    left = [run for run in runs if not all(step.finished for step in run.steps)]
    if not left:
        return []
    jobs = cluster.submit(left, words)
    for run in left:
        print(f"submitted: {run.train.title} as job {jobs[run.key].job_id}", flush=True)
    print("waiting; Ctrl-C leaves the jobs to the cluster, and xpt study show tells how far they are")
    said = ""
    while not all(done := [job.done() for job in jobs.values()]):
        counts = f"{sum(done)} of {len(done)} jobs have ended"
        if counts != said:
            print(counts, flush=True)
        said = counts
        time.sleep(PAUSE)
    return [
        Failure(step, last_lines(step.log) or last_lines(Path(jobs[run.key].paths.stderr)))
        for run in left
        for step in run.steps
        if not step.finished
    ]
