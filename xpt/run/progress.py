"""What a person sees while a phase trains: a bar with the time left, and lines that are kept as JSON too.

A log file gets the lines alone: where the bar's place is no terminal, there is no bar.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import wcwidth
from tqdm import tqdm
from transformers import TrainerCallback

from xpt.program.environment import resident_memory_mib
from xpt.program.formatting import LINE_WIDTH, clip, duration, known, short_count, short_number, short_size
from xpt.run.folder import Run


@dataclass(frozen=True)
class Moment:
    """Where a run stands when it logs; `None` is what is not known (yet)."""

    phase: str
    step: int
    steps: int
    loss: float | None = None  # nats per masked token, mean since the last line
    evaluated: float | None = None  # eval_loss, or the metric of a task
    tokens_per_second: float | None = None
    resident_mib: int | None = None  # memory of the process that logs
    seconds_left: float | None = None  # of this phase
    run_seconds_left: float | None = None  # of this phase and the later ones
    learning_rate: float | None = None
    grad_norm: float | None = None

    def line(self) -> str:
        """The moment in one line of at most `LINE_WIDTH` columns.

        A long name of a phase is cut; memory, rate and gradient are shown where they fit, as memory does in
        every usual line.
        """
        steps = _steps(self.steps)
        parts = [f"step {_steps(self.step):>{len(steps)}}/{steps}", f"loss {known(short_number, self.loss)}"]
        if self.evaluated is not None:
            parts.append(f"eval {short_number(self.evaluated)}")
        memory = known(short_size, None if self.resident_mib is None else self.resident_mib * 2**20)
        tail = [
            f"{known(short_count, self.tokens_per_second)} tokens/s",
            f"{known(duration, self.seconds_left)} left (run {known(duration, self.run_seconds_left)})",
        ]
        if len("  ".join(["…", *parts, memory, *tail])) <= LINE_WIDTH:
            tail.insert(1, memory)
        name = clip(self.phase, LINE_WIDTH - len("  ".join(["", *parts, *tail])))
        free = LINE_WIDTH - wcwidth.width("  ".join([name, *parts, *tail]))
        for label, value in (("lr", self.learning_rate), ("grad", self.grad_norm)):
            extra = f"{label} {known(short_number, value)}"
            if value is not None and len(extra) + 2 <= free:
                parts.append(extra)
                free -= len(extra) + 2
        return "  ".join([name, *parts, *tail])


def _steps(count: int) -> str:
    return str(count) if count < 10_000_000 else short_count(count)


class PhaseProgress(TrainerCallback):
    """Bar, log lines and `log.jsonl` of one phase, and its speed in real tokens a second.

    The time left is what the steps run by this process took, their saving and evaluation included; for the
    `later_steps` of the phases that follow the present pace is assumed.

    Args:
        run: whose log it is.
        phase: its name.
        steps: how many it has.
        tokens_of: the real tokens that a step (from 1 on) reads, in all processes.
        later_steps: of the phases that follow.
        score: what is shown of an evaluation, by its name in the Trainer's logs.
    """

    def __init__(
        self,
        run: Run,
        phase: str,
        steps: int,
        tokens_of: Callable[[int], int],
        later_steps: int = 0,
        score: str = "eval_loss",
    ):
        self.run, self.phase, self.steps, self.later_steps = run, phase, steps, later_steps
        self.tokens_of, self.score = tokens_of, score
        self.seconds, self.tokens, self.steps_done = 0.0, 0, 0
        self.loss: float | None = None
        self.bar: Any = None

    @property
    def tokens_per_second(self) -> float | None:
        """Real tokens over the steps run in this process, without evaluation and saving; None before them."""
        return self.tokens / self.seconds if self.steps_done else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.run.rewind_log(self.phase, state.global_step)
        shown = state.is_world_process_zero and not args.disable_tqdm
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.phase, unit=" steps",
            disable=None if shown else True, dynamic_ncols=True, leave=False,
        )  # fmt: skip
        known = (entry["loss"] for entry in reversed(state.log_history) if "loss" in entry)
        self.loss = next(known, None)
        self.begin = self.mark = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds += time.perf_counter() - self.mark
        self.steps_done += 1
        self.tokens += self.tokens_of(state.global_step)
        self.bar.update(1)
        self.mark = time.perf_counter()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mark = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mark = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if not state.is_world_process_zero or not ("loss" in logs or self.score in logs):
            return
        entry = {"phase": self.phase, "step": state.global_step}
        entry |= {key: value for key, value in logs.items() if key != "epoch"}
        self.run.log(
            {**entry, "tokens_per_second": self.tokens_per_second, "resident_mib": resident_memory_mib()}
        )
        self.loss = logs.get("loss", self.loss)
        self.bar.write(self.moment(state.global_step, logs).line())
        sys.stdout.flush()  # a log file is read while it grows

    def moment(self, step: int, logs: dict[str, float]) -> Moment:
        """What is known after `step` of the phase, with the Trainer's `logs`."""
        left = run_left = None
        if self.steps_done:
            pace = (time.perf_counter() - self.begin) / self.steps_done
            left = (self.steps - step) * pace
            run_left = left + self.later_steps * pace
        return Moment(
            phase=self.phase,
            step=step,
            steps=self.steps,
            loss=self.loss,
            evaluated=logs.get(self.score),
            tokens_per_second=self.tokens_per_second,
            resident_mib=resident_memory_mib(),
            seconds_left=left,
            run_seconds_left=run_left,
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
        )

    def close(self) -> None:
        """Take the bar away, however training ended."""
        if self.bar is not None:
            self.bar.close()
