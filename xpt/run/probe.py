"""What a phase costs, measured on a few of its real steps: seconds a step, and the memory that it takes.

The steps are those of the run (its Trainer, rows, masks, optimizer and precision) on a model that is thrown
away. They leave no file, and the generators as they were.
"""

import copy
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from transformers import IntervalStrategy, TrainerCallback
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import SaveStrategy

from xpt.program.environment import PeakMemory
from xpt.program.precision import autocast_dtype
from xpt.run.post_training import PostTraining
from xpt.text.examples import Examples
from xpt.text.masking import largest_share
from xpt.text.reading import PhaseRows
from xpt.training.evaluation import evaluate_mlm
from xpt.training.trainer import XPTTrainer, phase_arguments

WARM_UP_STEPS = 2
MEASURED_STEPS = 10
ENOUGH_SECONDS = 60.0  # of measured steps; slow ones vary less
EVALUATED_TOKENS = 16_384  # four batches


@dataclass(frozen=True)
class StepCost:
    """Seconds of one optimizer step (the median of `steps`), and bytes by what they are for."""

    seconds: float
    steps: int
    weights: int
    gradients: int
    optimizer: int
    activations: int  # the measured peak without the other three

    @property
    def bytes(self) -> int:
        """All four."""
        return self.weights + self.gradients + self.optimizer + self.activations


class _StepTimer(TrainerCallback):
    """Seconds of each step after the first ones, which start workers, kernels and the optimizer."""

    def __init__(self) -> None:
        self.begun: list[float] = []

    @property
    def seconds(self) -> list[float]:
        marks = self.begun[WARM_UP_STEPS - 1 :]
        return [after - before for before, after in pairwise(marks)]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.device.type != "cpu":
            torch.accelerator.synchronize()
        self.begun.append(time.perf_counter())
        if len(self.seconds) == MEASURED_STEPS or sum(self.seconds) > ENOUGH_SECONDS:
            control.should_training_stop = True


def probe_phase(training: PostTraining, index: int) -> StepCost:
    """Run the first steps of phase `index`, for which the model is prepared, and measure them.

    The model's weights change. Of a schedule of masks the largest share is taken, and the optimizer is new.
    """
    model, phase = training.model, training.phases[index]
    data, timer = training.phase_data(index, largest_share(phase.masking)), _StepTimer()
    with (
        TemporaryDirectory() as folder,
        generators_kept(),
        PeakMemory(training.recipe.training.device) as peak,
    ):
        trainer = XPTTrainer(
            model=model,
            args=_silent(phase_arguments(training.recipe.training, phase, index, Path(folder))),
            phase=phase,
            data=data,
            checkpoints=training.run.checkpoints,
            stop=training.stop,
            train_dataset=PhaseRows(data.reading, WARM_UP_STEPS + MEASURED_STEPS, training.rows_per_step),
            callbacks=[timer],
        )
        trainer.remove_callback(DEFAULT_PROGRESS_CALLBACK)  # a notebook's is another
        trainer.remove_callback(PrinterCallback)
        with training.training_conditions():
            trainer.train()
        optimizer = _state_bytes(trainer.optimizer)
    model.zero_grad(set_to_none=True)
    gradients = sum(tensor.nbytes for tensor in model.parameters() if tensor.requires_grad)
    return StepCost(
        seconds=statistics.median(timer.seconds),
        steps=len(timer.seconds),
        weights=sum(tensor.nbytes for tensor in model.parameters()),
        gradients=gradients,
        optimizer=optimizer,
        activations=max(0, peak.grown - gradients - optimizer),
    )


def probe_evaluation(training: PostTraining, split: str) -> float:
    """About how many seconds the evaluation of a whole split takes, both its losses; from a sample of it."""
    examples = training.text.held_out[split]
    count = max(2, round(len(examples) * min(1.0, EVALUATED_TOKENS / int(examples.lengths.sum()))))
    sample = _every(examples, max(1, len(examples) // count))
    start = time.perf_counter()
    evaluate_mlm(
        training.model,
        sample,
        training.text.log_probs,
        shuffled_context=True,
        autocast_dtype=autocast_dtype(training.recipe.training),
        description=f"Timing the evaluation of {split}",
    )
    return (time.perf_counter() - start) * int(examples.lengths.sum()) / int(sample.lengths.sum())


@contextmanager
def generators_kept() -> Iterator[None]:
    """The generators of Python, NumPy and torch come out as they went in."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _silent(arguments: Any) -> Any:
    """Arguments of a phase for a few steps that nothing remains of."""
    arguments.max_steps = WARM_UP_STEPS + MEASURED_STEPS
    arguments.logging_strategy = arguments.eval_strategy = IntervalStrategy.NO
    arguments.save_strategy, arguments.report_to, arguments.disable_tqdm = SaveStrategy.NO, [], True
    arguments.eval_on_start = False
    return arguments


def _state_bytes(optimizer: Any) -> int:
    return sum(
        value.nbytes
        for values in optimizer.state.values()
        for value in values.values()
        if isinstance(value, torch.Tensor)
    )


def _every(examples: Examples, step: int) -> Examples:
    sample = copy.copy(examples)
    sample.starts, sample.lengths = examples.starts[::step], examples.lengths[::step]
    return sample
