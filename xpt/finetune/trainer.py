"""Fine-tuning on one task: rows in their order, scored several times an epoch, the best weights kept.

A checkpoint holds what is trained, by name: all weights or, with LoRA, the adapters and the head. Beside the
newest ones of training stands `best`, the weights that scored highest on the validation split.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import nn
from transformers import TrainerCallback

from xpt.finetune.encoding import TextEncoder
from xpt.finetune.predict import answer
from xpt.finetune.task import Feature, Task
from xpt.program.precision import autocast_dtype
from xpt.program.processes import told_by_first
from xpt.training.resumable import ResumableTrainer

STAGE, BEST = "fine-tuning", "best"
WEIGHTS = "trained.safetensors"


@dataclass(frozen=True)
class Validation:
    """What is scored: examples, their features, and the gold answers."""

    examples: Sequence[Any]
    features: Sequence[Feature]


class FineTuner(ResumableTrainer):
    """Trains a model on a task's rows; `validation` decides which weights are best."""

    def __init__(
        self, *, task: Task, encoder: TextEncoder, validation: Validation, patience: int, **kwargs: Any
    ) -> None:
        super().__init__(
            stage=STAGE,
            eval_dataset=validation.features,
            data_collator=lambda features: task.collate(features, encoder),
            **kwargs,
        )
        self.task, self.encoder, self.validation = task, encoder, validation
        # Heads give the mean of one batch, whatever arguments their forward would take.
        self.model_accepts_loss_kwargs = False
        self.add_callback(ScoreWithinEpochs(self.steps, self._evaluations(), self.score_name, patience))

    @property
    def score_name(self) -> str:
        """The metric that decides, by its name in the Trainer's logs."""
        return f"eval_{self.task.selected_on}"

    def _evaluations(self) -> int:
        return max(1, round(self.args.num_train_epochs * self.args.evaluations_per_epoch))

    def measure(self, metric_key_prefix: str) -> dict[str, float]:
        """The official metrics of the validation split and, where its features have labels, the loss."""
        answers = answer(
            self.model,
            self.task,
            self.validation.features,
            self.encoder,
            self.args.per_device_eval_batch_size,
            autocast_dtype(self.args),
            f"Scoring step {self.state.global_step}",
        )
        predictions = self.task.predictions(
            self.validation.examples, self.validation.features, answers.outputs
        )
        metrics = score(self.task, self.validation.examples, predictions)
        if answers.loss is not None:
            metrics["loss"] = answers.loss
        return {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score, and keep the weights where they are the best so far."""
        metrics = super().evaluate(*args, **kwargs)
        scores = evaluations(self.state.log_history, self.score_name)
        step = self.state.global_step
        if best_step(scores) == step:
            if self.args.should_save:
                self.checkpoints.save(
                    BEST, step, self.write_model, self.args.save_total_limit, self.estimated_bytes()
                )
            self.accelerator.wait_for_everyone()
        return metrics

    def best_step(self) -> int:
        """The step of the best weights that verify, in every process; the last one is always scored."""
        found = self.checkpoints.newest(BEST) if self.args.should_save else 0
        return told_by_first(found or 0, self.args.device)

    def write_model(self, folder: Path) -> None:
        """What is trained, by name."""
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        save_file(trained_tensors(model), folder / WEIGHTS, metadata={"format": "pt"})

    def read_model(self, folder: Path) -> None:
        """Bring the model to what `write_model` wrote. Raises `ValueError` where others are trained."""
        stored = load_file(folder / WEIGHTS)
        differing = sorted(stored.keys() ^ trained_tensors(self.model).keys())
        if differing:
            raise ValueError(f"{folder}: does not fit this model: {differing[:3]}")
        self.model.load_state_dict(stored, strict=False)


def trained_tensors(model: nn.Module) -> dict[str, Any]:
    """Parameters that learn, contiguous and on the CPU; the rest is as the source has it."""
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.named_parameters()
        if tensor.requires_grad
    }


def score(
    task: Task, examples: Sequence[Any], predictions: Sequence[dict[str, Any]], variants: bool = False
) -> dict[str, float]:
    """Official metrics in percent; `variants` adds those of other definitions under their own names."""
    fields = task.prediction_fields
    return task.metric().compute(
        predictions=[{field: line[field] for field in fields} for line in predictions],
        references=[task.reference(example) for example in examples],
        variants=variants,
    )


# ---- which evaluation was best, from the log alone, so that a resumed run knows too ----------------------


def evaluations(log_history: Sequence[dict[str, Any]], score_name: str) -> list[tuple[int, float]]:
    """Step and score of each evaluation in a Trainer's log, in order."""
    return [(entry["step"], entry[score_name]) for entry in log_history if score_name in entry]


def best_step(scores: Sequence[tuple[int, float]]) -> int | None:
    """The step of the highest score, the first of equal ones; without any number the last step."""
    numbers = [(value, -step) for step, value in scores if not math.isnan(value)]
    if not numbers:
        return scores[-1][0] if scores else None
    return -max(numbers)[1]


def is_over(scores: Sequence[tuple[int, float]], patience: int) -> bool:
    """Whether the last `patience` evaluations brought nothing better; 0 waits for ever."""
    if not patience:
        return False
    best = best_step(scores)
    return sum(step > best for step, _ in scores) >= patience if best is not None else False


class ScoreWithinEpochs(TrainerCallback):
    """Evaluates and saves at equal distances, and ends training when nothing gets better.

    Args:
        steps: of the whole training.
        count: evaluations in all; the last one comes with the last step.
        score_name: the metric that decides.
        patience: evaluations without a better one that are waited for.
    """

    def __init__(self, steps: int, count: int, score_name: str, patience: int) -> None:
        self.moments = {max(1, round(steps * (number + 1) / count)) for number in range(count)}
        self.score_name, self.patience = score_name, patience

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.moments:
            control.should_evaluate = control.should_save = True

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if is_over(evaluations(state.log_history, self.score_name), self.patience):
            control.should_training_stop = True
