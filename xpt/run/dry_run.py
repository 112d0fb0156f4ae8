"""What a run would do, without doing it: counts, parameters, memory, disk and time, from the real text and
model and a few steps of each phase. Nothing is written but prepared text into the cache.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any

from transformers import IntervalStrategy

from xpt.program.environment import peak_memory_mib
from xpt.program.errors import XPTError
from xpt.program.files import check_writable, free_bytes
from xpt.program.formatting import duration, short_count, short_number, short_size, wrap
from xpt.program.precision import precision
from xpt.recipe.recipe import Recipe
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining
from xpt.run.preparation import cache_folder
from xpt.run.probe import StepCost, probe_evaluation, probe_phase
from xpt.run.summary import describe_splits, line, peak_memory, shown_path, summarize
from xpt.training.adapters import remove_adapters
from xpt.training.checkpoints import KEPT
from xpt.training.notes import phase_notes
from xpt.training.phases import Phase
from xpt.training.training_state import SMALL_FILES_BYTES, estimated_bytes
from xpt.transplant.parameter_groups import parameter_group
from xpt.transplant.source import format_report


def check_dry_run(recipe: Recipe) -> None:
    """Raise `XPTError` where a dry run cannot speak for the run, or the run could not write its folder."""
    if recipe.training.world_size > 1:
        raise XPTError(
            "--dry_run true measures a single process; start it as `python train_xpt.py ...`, not by torchrun"
        )
    check_writable(Path(str(recipe.training.output_dir)), "--output_dir")


@dataclass(frozen=True)
class PhasePlan:
    """What one phase would do from where it stands."""

    phase: Phase
    steps_done: int
    tokens: int  # real ones, of all its steps; about, as each epoch is packed anew
    epochs: float  # of the text that it reads most often
    trained: dict[str, int]  # parameters by group
    checkpoint_bytes: int
    saves: int  # before the one that ends it
    evaluations: int  # while it trains
    cost: StepCost | None  # None where it is finished

    @property
    def seconds(self) -> float:
        """Of the steps that are left."""
        return (self.phase.steps - self.steps_done) * self.cost.seconds if self.cost else 0.0


def rehearse(training: PostTraining) -> str:
    """Measure, and say what would happen; the model's weights are used up. Writes nothing."""
    training.model.to(training.recipe.training.device)
    plans = [plan_phase(training, index) for index in range(len(training.phases))]
    parameters = sum(tensor.numel() for tensor in training.model.parameters())
    parts = [*_head(training), indent(format_report(training.report), "  ")]
    for plan in plans:
        parts += _describe(plan, training.rows_per_step, parameters)
    return "\n".join([*parts, *_evaluation_and_time(training, plans), *_room(training, plans)])


def nothing_to_do(run: Run) -> str:
    """The answer where the run is finished."""
    head = f"dry run: {shown_path(run.folder)} is finished, a start prints this and changes nothing"
    return f"{wrap(head, '  ', '')}\n{summarize(run)}"


def plan_phase(training: PostTraining, index: int) -> PhasePlan:
    """What a phase would do, measured on its first steps; the weights of the model change."""
    phase, run, arguments = training.phases[index], training.run, training.recipe.training
    epochs = training.reading(index).epochs(phase.steps * training.rows_per_step)
    done = run.checkpoints.newest(phase.name) or 0
    training.prepare(phase)
    during = arguments.eval_strategy != IntervalStrategy.NO
    whole_phase = arguments.eval_strategy == IntervalStrategy.EPOCH
    plan = PhasePlan(
        phase=phase,
        steps_done=done,
        tokens=round(sum(count * training.streams[kind].tokens_in_epoch for kind, count in epochs.items())),
        epochs=max(epochs.values()),
        trained=_trained(training.model),
        checkpoint_bytes=estimated_bytes(training.model),
        saves=_times(phase.steps, arguments.save_steps),
        evaluations=(1 if whole_phase else _times(phase.steps, arguments.eval_steps)) if during else 0,
        cost=None if done == phase.steps and phase.name in run.progress() else probe_phase(training, index),
    )
    remove_adapters(training.model)
    return plan


def _trained(model: Any) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            group = parameter_group(name, model.config).split(".")[0]
            sizes[group] = sizes.get(group, 0) + parameter.numel()
    return sizes


def _times(steps: int, every: float | None) -> int:
    """How often something happens that is due every so many steps, or below 1 at each such share of them."""
    return steps // math.ceil(every if every >= 1 else every * steps) if every else 0


def disk_bytes(
    plans: Sequence[PhasePlan], weights: int, limit: int | None, kept_models: int = 0
) -> tuple[int, int]:
    """The most that a run's folder takes, and what is left of it at the end.

    Step 0, the result and what is kept along the way are `weights` each. A phase keeps `limit` checkpoints
    and one being written; those of the phase before shrink to one when the new phase has two.
    """
    models = (2 + kept_models) * weights
    most = models
    for index, plan in enumerate(plans):
        kept = max(limit, KEPT) if limit else plan.saves + 1
        before = [earlier.checkpoint_bytes for earlier in plans[:index]]
        last = before[-1] * min(kept, plans[index - 1].saves + 1) - before[-1] if before else 0
        changing = last + KEPT * plan.checkpoint_bytes
        most = max(most, models + sum(before) + max(changing, (kept + 1) * plan.checkpoint_bytes))
    return most, models + len(plans) * weights


# ---- in words --------------------------------------------------------------------------------------------


def _head(training: PostTraining) -> list[str]:
    recipe, text = training.recipe, training.text
    folder = shown_path(training.run.folder)
    name = recipe.tokenizer.tokenizer_name_or_path or "trained on the training sentences"
    name += f", cut by {text.morphemes}" if text.morphemes else ""
    return [
        "",
        wrap(f"dry run of {folder}: nothing is written there", "  ", ""),
        line("text", describe_splits(text)),
        line("", f"prepared in {shown_path(cache_folder(recipe))}, where the run finds it"),
        line("tokenizer", f"{len(text.tokenizer):,} pieces, {name}"),
        line("precision", f"{precision(recipe.training)} on {recipe.training.device}"),
    ]


def _describe(plan: PhasePlan, rows_per_step: int, parameters: int) -> list[str]:
    phase, trained = plan.phase, sum(plan.trained.values())
    groups = ", ".join(f"{group} {count:,}" for group, count in plan.trained.items())
    lines = [
        line(
            phase.name,
            f"{phase.steps:,} steps of {rows_per_step:,} rows: about {plan.tokens:,} tokens, "
            f"{plan.epochs:.3g} epochs{_state(plan)}",
        ),
        line("", f"trains {trained:,} of {parameters:,} parameters, {parameters - trained:,} are frozen"),
        line("", groups),
        *(line("", note) for note in phase_notes(phase.to_dict())),
    ]
    if plan.cost is not None:
        cost, tokens = plan.cost, plan.tokens / phase.steps
        lines += [
            line(
                "",
                f"{short_number(cost.seconds)} seconds a step (median of {cost.steps}), "
                f"{short_count(tokens / cost.seconds)} tokens/s: {duration(plan.seconds)}",
            ),
            line(
                "",
                f"memory: weights {short_size(cost.weights)}, gradients {short_size(cost.gradients)}, "
                f"optimizer {short_size(cost.optimizer)}, activations {short_size(cost.activations)}; "
                f"in all {short_size(cost.bytes)}",
            ),
        ]
    return lines


def _state(plan: PhasePlan) -> str:
    if plan.cost is None:
        return "; finished"
    return f"; goes on from step {plan.steps_done:,}" if plan.steps_done else ""


def _evaluation_and_time(training: PostTraining, plans: Sequence[PhasePlan]) -> list[str]:
    left = [plan for plan in plans if plan.cost is not None]
    whole = len(left) + ("before" not in training.run.progress())
    # While a phase trains only the model's own loss is taken, one pass of two.
    during = sum(plan.evaluations for plan in left)
    validation, test = (probe_evaluation(training, split) for split in ("validation", "test"))
    training_seconds = sum(plan.seconds for plan in plans)
    seconds = (whole + during / 2) * validation + test
    return [
        line(
            "evaluation",
            f"{whole} of the validation split, {duration(validation)} each"
            + (f"; {during} during the phases, {duration(validation / 2)} each" if during else "")
            + f"; the test split, {duration(test)}",
        ),
        line(
            "time left",
            f"about {duration(training_seconds + seconds)}: training {duration(training_seconds)}, "
            f"evaluation {duration(seconds)}; saving is not counted",
        ),
    ]


def _room(training: PostTraining, plans: Sequence[PhasePlan]) -> list[str]:
    weights = sum(tensor.nbytes for tensor in training.model.parameters()) + SMALL_FILES_BYTES
    arguments = training.recipe.training
    most, end = disk_bytes(plans, weights, arguments.save_total_limit, len(arguments.keep_at or ()))
    free = free_bytes(training.run.folder)
    return [
        line("peak memory", f"{peak_memory(peak_memory_mib())}, of this process with its libraries and text"),
        line(
            "disk",
            f"up to {short_size(most)}, {short_size(end)} when finished; {short_size(free)} free"
            + (" - NOT ENOUGH" if free < most else ""),
        ),
    ]
