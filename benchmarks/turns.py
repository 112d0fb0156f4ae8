"""Trainings that take turns: each in a process of its own, a window of steps at a time.

All are started once and warm; what else the machine does then meets all of them. A contestant trains for ever
and waits between its windows for a line on its standard input, so that one runs at a time.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from transformers import TrainerCallback

REPO = Path(__file__).resolve().parents[1]


class Contestant:
    """One of them, as the parent sees it.

    Args:
        script: ends in `compete`.
        name: which contestant.
        setting: what it is told, plain JSON types.
    """

    def __init__(self, script: Path, name: str, setting: Mapping[str, Any]):
        self.name, self.reports = name, []
        self.process = subprocess.Popen(
            [sys.executable, str(script), json.dumps({"contestant": name, "setting": setting})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(REPO)},
        )

    def run(self, steps: int) -> dict[str, Any]:
        """One window. Raises `RuntimeError` where the process died; it has said why."""
        try:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError) as error:
            raise RuntimeError(f"{self.name} ended early") from error

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def take_turns(
    script: Path, names: Sequence[str], setting: Mapping[str, Any], rounds: int, steps: int
) -> dict[str, list[dict[str, Any]]]:
    """The windows of each contestant, by name, after a first one that is not counted."""
    contestants = [Contestant(script, name, setting) for name in names]
    try:
        for turn in range(rounds + 1):
            for contestant in contestants:
                report = contestant.run(steps)
                if turn:
                    contestant.reports.append(report)
            print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
    finally:
        for contestant in contestants:
            contestant.close()
    return {contestant.name: contestant.reports for contestant in contestants}


def compare(reports: Mapping[str, Sequence[dict[str, Any]]], reference: str) -> dict[str, dict[str, Any]]:
    """Medians over the windows; ratios are taken within a round, where both met the same machine."""
    rates = {
        name: [window["tokens"] / window["seconds"] for window in windows]
        for name, windows in reports.items()
    }
    rows = {}
    for name, windows in reports.items():
        ratios = [own / other for own, other in zip(rates[name], rates[reference], strict=True)]
        rows[name] = {
            "tokens_per_second": statistics.median(rates[name]),
            "slowest": min(rates[name]),
            "fastest": max(rates[name]),
            "ratio": statistics.median(ratios),
            "ratio_slowest": min(ratios),
            "ratio_fastest": max(ratios),
            "peak_mib": max(window["peak_mib"] for window in windows),
            "waited": sum(one["waited"] for one in windows) / sum(one["seconds"] for one in windows),
        }
    return rows


def compete(
    contestants: Mapping[str, Callable],
    read: Callable[[dict[str, Any]], Any],
    watch: Callable[[Any, TextIO], "Watch"] = lambda setting, out: Windows(out),
) -> None:
    """Be the contestant that the command line names; on standard output its reports stand alone.

    `read` makes of the JSON setting what contestants take, beside the `Watch` that `watch` makes.
    """
    asked = json.loads(sys.argv[1])
    setting = read(asked["setting"])
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    contestants[asked["contestant"]](setting, watch(setting, reports))


class Watch(TrainerCallback):
    """Watches a training for the parent: counts the real tokens of its steps in `tokens`, and reports."""

    def __init__(self, out: TextIO):
        self.out, self.tokens, self.waited = out, 0, 0.0
        self.batches: deque[int] = deque()  # real tokens of those that are built and not read yet

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.tokens += self.batches.popleft()

    def asked(self) -> int:
        """Wait until the parent asks for so many steps; 0 where it does no more."""
        return int(sys.stdin.readline().strip() or 0)

    def tell(self, report: dict[str, Any]) -> None:
        """Answer the parent."""
        print(json.dumps(report), file=self.out, flush=True)

    def counting(self, collator: Callable, tokens: Callable[[Any, dict], int]) -> Callable:
        """A collator that counts real tokens and its own time."""

        def collate(rows: Any) -> dict[str, torch.Tensor]:
            start = time.perf_counter()
            batch = collator(rows)
            self.waited += time.perf_counter() - start
            self.batches.append(tokens(rows, batch))
            return batch

        return collate


class Windows(Watch):
    """Runs steps when told to, and tells what they took."""

    def __init__(self, out: TextIO):
        super().__init__(out)
        self.left, self.idle_mib = 0, 0 if torch.cuda.is_available() else _status_mib("VmRSS")

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.left == 0:
            self.left = self.steps = self.asked()
            if not self.steps:
                os._exit(0)  # the parent has what it wants
            self.start, self.tokens, self.waited = time.perf_counter(), 0, 0.0
        super().on_step_begin(args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.left -= 1
        if self.left:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.tell(
            {
                "seconds": time.perf_counter() - self.start,
                "steps": self.steps,
                "tokens": self.tokens,
                "waited": self.waited,
                "peak_mib": _peak_mib() - self.idle_mib,
            }
        )


def _peak_mib() -> float:
    """Of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return _status_mib("VmHWM")


def _status_mib(entry: str) -> float:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{entry}:"):
            return int(line.split()[1]) / 1024
    return 0.0
