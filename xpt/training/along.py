"""What happens along a phase: models that are kept at given steps, and an end where validation stands still.

Neither draws a number or changes a weight, so that a run goes through the same steps with or without them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from xpt.training.adapters import whole_number

FLAT_SCHEDULES = ("constant", "constant_with_warmup")


def kept_steps(shares: Sequence[float], steps: int) -> list[int]:
    """The steps of a run of so many that are nearest to `shares` of it, each once, its end left out."""
    found = {min(max(1, round(share * steps)), steps) for share in shares}
    return sorted(found - {steps})


class KeepModels(TrainerCallback):
    """Keeps the model after given steps of a phase, and has it evaluated there.

    It comes before any checkpoint of the same step, so that what a run goes on from has its kept ones.

    Args:
        places: of each step the folder.
        keep: writes the model into a folder; all processes call it.
    """

    def __init__(self, places: Mapping[int, Path], keep: Callable[[Path], None]):
        self.places, self.keep = places, keep

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.places:
            self.keep(self.places[state.global_step])
            if state.global_step < state.max_steps:  # the end of a phase is measured anyway
                control.should_evaluate = True


@dataclass(frozen=True)
class Until:
    """A phase ends where validation loss has not improved for `patience` evaluations in a row.

    Args:
        every: steps between evaluations.
        patience: evaluations without an improvement that end it.
        least: nats per masked token that count as one, below the best so far.
    """

    every: int
    patience: int = 3
    least: float = 0.01

    @classmethod
    def from_dict(cls, values: Any) -> "Until":
        """From a recipe. Raises `ValueError` for what cannot be meant."""
        known = {entry.name for entry in fields(cls)}
        if not isinstance(values, dict) or set(values) - known or "every" not in values:
            raise ValueError("until has every, and may have patience and least")
        until = cls(
            whole_number(values["every"]),
            whole_number(values.get("patience", cls.patience)),
            float(values.get("least", cls.least)),
        )
        if until.every < 1 or until.patience < 1 or not 0 <= until.least < float("inf"):
            raise ValueError("until: give every and patience of at least 1, and least of at least 0")
        return until

    def to_dict(self) -> dict[str, Any]:
        """For records."""
        return asdict(self)

    def reached(self, history: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a phase of this logged history is over: a function of it alone, so exact on resume."""
        losses = [
            entry["eval_loss"]
            for entry in history
            if "eval_loss" in entry and entry["step"] % self.every == 0
        ]
        best, waited = float("inf"), 0
        for loss in losses:
            better = loss < best - self.least
            best, waited = (loss, 0) if better else (best, waited + 1)
            if waited == self.patience:
                return True
        return False


class EndAtPlateau(TrainerCallback):
    """Ends a phase after the evaluation that says so."""

    def __init__(self, until: Until):
        self.until = until

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.until.reached(state.log_history):
            control.should_training_stop = True
