"""A queue on disk: what is finished is known by its folder, what is being done by its lock.

Nothing else is stored, so that a queue that ends at any moment goes on by being started again, and two of
them share the work.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from xpt.program.environment import available_cores
from xpt.program.errors import XPTError
from xpt.program.files import write_json_atomically
from xpt.program.formatting import duration
from xpt.program.interrupts import Interrupted, StopRequest
from xpt.program.lock import FolderLock
from xpt.study.measures import seconds_of
from xpt.study.plan import PlannedRun, Step
from xpt.study.worker import BUSY

PAUSE = 0.2  # seconds between two looks at the processes
BUSY_PAUSE = 2.0  # where another queue does what is left
LAST_LINES = 5  # of the log of what failed


@dataclass(frozen=True)
class Failure:
    """What did not work, and the last lines that it printed."""

    step: Step
    said: tuple[str, ...]

    def __str__(self) -> str:
        said = self.said or ("it printed nothing",)
        lines = "".join(f"\n    {line}" for line in said)
        return f"failed: {self.step.title} (all of it: {self.step.log}){lines}"


@dataclass
class Queue:
    """Works through the runs of a study.

    Args:
        runs: in order.
        jobs: processes at once.
        threads: of each; None for an even share of the cores.
        stop: whether a signal asked to stop.
    """

    runs: Sequence[PlannedRun]
    jobs: int
    threads: int | None
    stop: StopRequest
    failures: list[Failure] = field(default_factory=list)
    _waiting: list[tuple[PlannedRun, Step]] = field(default_factory=list)
    _running: dict[Step, subprocess.Popen] = field(default_factory=dict)
    _done: list[Step] = field(default_factory=list)
    _begun: dict[Step, float] = field(default_factory=dict)
    _taken: dict[str, list[float]] = field(default_factory=dict)  # seconds, by kind
    _said: str = ""

    def work(self) -> None:
        """Until nothing is left. Raises `Interrupted` after a signal, when all processes have saved."""
        self._waiting = [(run, step) for run in self.runs for step in run.steps]
        try:
            with self.stop.put_off():
                while self._waiting or self._running:
                    if self.stop.number is not None:
                        raise Interrupted(self.stop.number)
                    self._collect()
                    busy = self._start()
                    self._say()
                    if self._waiting or self._running:
                        time.sleep(BUSY_PAUSE if busy and not self._running else PAUSE)
        finally:
            self._end_all()

    # ---- starting ----------------------------------------------------------------------------------------

    def _start(self) -> bool:
        """Start as many as there are jobs; whether something waits for another queue alone."""
        busy = False
        failed = {failure.step for failure in self.failures}
        for run, step in list(self._waiting):
            if step.finished:
                self._waiting.remove((run, step))
                self._keep(step)
            elif run.train in failed:
                self._waiting.remove((run, step))
                self.failures.append(Failure(step, (f"not tried: {run.train.title} failed",)))
            elif len(self._running) < self.jobs and (step is run.train or run.train.finished):
                if _is_busy(step):
                    busy = True
                    continue
                self._waiting.remove((run, step))
                self._launch(run, step)
        return busy

    def _launch(self, run: PlannedRun, step: Step) -> None:
        print(f"starts: {step.title}", flush=True)
        self._begun[step] = time.monotonic()
        step.log.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(step.lock.parents[1] / "settings.json", run.settings)
        threads = str(self.threads or max(1, available_cores() // self.jobs))
        with open(step.log, "a", encoding="utf-8") as log:  # another queue may be at it, and writes there
            self._running[step] = subprocess.Popen(
                [sys.executable, "-m", "xpt.study.worker", str(step.lock), *step.words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": threads},
                start_new_session=True,  # Ctrl-C reaches the queue alone, which hands on one signal
            )

    # ---- ending ------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        for step, process in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[step]
            if process.stdin:
                process.stdin.close()
            if code == BUSY:
                print(f"another queue was first: {step.title}", flush=True)
                run = next(run for run in self.runs if step in run.steps)
                self._waiting.append((run, step))
            elif code or not step.finished:
                self.failures.append(Failure(step, last_lines(step.log)))
                print(self.failures[-1], file=sys.stderr, flush=True)
            else:
                self._keep(step)

    def _keep(self, step: Step) -> None:
        """Count a finished step, and what it took: of several starts all, by its own results."""
        self._done.append(step)
        since = time.monotonic() - self._begun.get(step, time.monotonic())
        self._taken.setdefault(step.kind, []).append(max(since, seconds_of(step.folder) or 0.0))

    def _end_all(self) -> None:
        """Ask all processes to save and end, and wait for them; a second signal waits for nothing."""
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            process.wait()

    # ---- saying ------------------------------------------------------------------------------------------

    def _say(self) -> None:
        left = len(self._waiting)
        counts = f"{len(self._done)} done, {len(self._running)} running, {left} left"
        if self.failures:
            counts += f", {len(self.failures)} failed"
        if counts == self._said:
            return
        self._said = counts
        seconds = self._seconds_left()
        time_left = "" if seconds is None else f"; about {duration(seconds)} left"
        print(f"{counts}{time_left}", flush=True)

    def _seconds_left(self) -> float | None:
        """From what was done so far, by its kind; None where some kind was not."""
        ahead = [step.kind for step in self._running] + [step.kind for _, step in self._waiting]
        if not ahead or not set(ahead) <= set(self._taken):
            return None
        return sum(fmean(self._taken[kind]) for kind in ahead) / self.jobs


def _is_busy(step: Step) -> bool:
    """Whether another process is at it, a worker of a queue or somebody who trains into the same folder."""
    for folder in (step.lock, step.folder):
        if folder.exists():
            lock = FolderLock(folder)
            try:
                lock.acquire()
            except XPTError:
                return True
            lock.release()
    return False


def last_lines(log: Path) -> tuple[str, ...]:
    """What a process printed last; nothing where it has printed nothing."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    lines = [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return tuple(lines[-LAST_LINES:])
