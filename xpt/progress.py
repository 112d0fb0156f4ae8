"""What a person sees while a phase trains: a bar with the time left, and lines that are kept as JSON too."""

import time
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from xpt.batching import RowStream
from xpt.phases import Phase
from xpt.run import Run


class PhaseProgress(TrainerCallback):
    """Bar, log lines and `log.jsonl` of one phase, and its speed in real tokens a second."""

    def __init__(self, run: Run, phase: Phase, stream: RowStream, first_row: int, rows_per_step: int):
        self.run, self.phase = run, phase
        self.stream, self.first_row, self.rows_per_step = stream, first_row, rows_per_step
        self.seconds, self.tokens, self.steps_done = 0.0, 0, 0
        self.bar: Any = None

    @property
    def tokens_per_second(self) -> float | None:
        """Real tokens over the steps run in this process, without evaluation and saving; None before them."""
        return self.tokens / self.seconds if self.steps_done else None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.run.rewind_log(self.phase, state.global_step)
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.phase.name, unit=" steps",
            disable=not state.is_world_process_zero, dynamic_ncols=True,
        )  # fmt: skip

        self.mark = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seconds += time.perf_counter() - self.mark
        self.steps_done += 1
        first = self.first_row + (state.global_step - 1) * self.rows_per_step
        self.tokens += self.stream.tokens(first, first + self.rows_per_step)
        self.bar.update(1)
        self.mark = time.perf_counter()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mark = time.perf_counter()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mark = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if not state.is_world_process_zero or not ("loss" in logs or "eval_loss" in logs):
            return
        entry = {"phase": self.phase.name, "step": state.global_step}
        entry |= {key: value for key, value in logs.items() if key != "epoch"}
        speed = self.tokens_per_second
        self.run.log({**entry, "tokens_per_second": speed})
        self.bar.write(self._line(entry, speed))

    def close(self) -> None:
        """Take the bar away, however training ended."""
        if self.bar is not None:
            self.bar.close()

    def _line(self, entry: dict[str, Any], speed: float | None) -> str:
        shown = [f"{self.phase.name:10} step {entry['step']:>6}/{self.phase.steps}"]
        shown += [f"{key} {entry[key]:.3f}" for key in ("loss", "eval_loss") if key in entry]
        if "learning_rate" in entry:
            shown.append(f"lr {entry['learning_rate']:.1e}")
        if speed is not None:
            left = (self.phase.steps - entry["step"]) * self.seconds / self.steps_done
            shown.append(f"{speed:,.0f} tokens/s")
            shown.append(f"{int(left // 60)}:{int(left % 60):02} left")
        return "  ".join(shown)
