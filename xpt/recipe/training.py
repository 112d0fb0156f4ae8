"""What a user says of training, of its folder and its log."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from transformers import IntervalStrategy, SchedulerType

from xpt.program.settings import option
from xpt.training.arguments import HUB_REFUSED, HubArguments

DEFAULT_OUTPUT = "output/xpt"
# Options of TrainingArguments that cannot be meant here, and why or what instead.
REFUSED = {
    "max_steps": "contradicts the phases; use --phase1_steps and --phase2_steps",
    "num_train_epochs": "contradicts the phases; use --phase1_steps and --phase2_steps",
    "resume_from_checkpoint": "is not needed: a run goes on from its --output_dir by itself",
    "load_best_model_at_end": "contradicts the phases, which end with their last step",
    "auto_find_batch_size": "would change what a step reads; use --per_device_train_batch_size",
    "train_sampling_strategy": "is not used: rows are shuffled by seed and epoch",
    "label_smoothing_factor": "is refused: losses would not compare with the baselines",
    "accelerator_config": "is refused: processes would read rows twice or never",
    "enable_jit_checkpoint": "is not needed: SIGTERM saves and stops by itself",
    "save_only_model": "is refused: an interrupted run could not go on",
    "ignore_data_skip": "is refused: a resumed run would read other rows",
    **HUB_REFUSED,
    "fsdp": "is asked for by the launcher; see configs/accelerate/fsdp2_1x8.yaml",
    "fsdp_config": "stands in the launcher's config file; see configs/accelerate/fsdp2_1x8.yaml",
    "deepspeed": "is not supported; FSDP2 does the same, see configs/accelerate/fsdp2_1x8.yaml",
}


@dataclass
class RunArguments(HubArguments):
    """Run folder, checkpoints and log."""

    output_dir: str | None = option(
        None,
        "The run's folder: model, card, checkpoints, results.json. Started again, the run goes on from it. "
        "Default: output/NAME of the last recipe, or output/xpt.",
    )
    dry_run: bool = option(
        False,
        "Print what would happen (counts, parameters, memory, disk, time from a few real steps) and write "
        "nothing but prepared text into the cache.",
    )
    cache_dir: str | None = option(
        None,
        "Where prepared text and ids are kept, for every run on the same text. Default: $XPT_CACHE, or "
        "~/.cache/xpt.",
    )
    preprocessing_num_workers: int | None = option(
        None,
        "Processes that clean text; 1 is none beside this one. The text that comes out is the same. Default: "
        "one for each core that this process may use, 8 at most, since reading keeps no more busy.",
    )
    save_steps: float = option(
        500, "Steps between checkpoints, or below 1 a share of the phase; a killed run loses no more."
    )
    save_total_limit: int | None = option(2, "Checkpoints kept in each phase; 2, as one may get damaged.")
    keep_at: list[float] | None = option(
        None,
        "Shares of the run's steps, such as 0.25 0.5, after which the model is evaluated and kept, as "
        "checkpoints/kept/step-N. Default: none; the end is the result.",
    )
    logging_steps: float = option(
        50,
        "Steps between log lines, or below 1 a share of the phase. The line's loss is the mean of these "
        "steps, so that fewer make it noisier; see log.jsonl and loss.png.",
    )
    num_fills: int = option(
        3, "Held-out sentences whose masked word is filled before and after training, for the reader's eye."
    )

    def __post_init__(self) -> None:
        if self.output_dir is None:
            self.output_dir = DEFAULT_OUTPUT
        super().__post_init__()


@dataclass
class XPTTrainingArguments(RunArguments):
    """Training: transformers' options with the defaults of the method.

    All options of `transformers.TrainingArguments` are taken but those that cannot be meant here.

    Raises:
        XPTError: an option that cannot be meant or cannot be used on this machine; the message says what
            instead.

    Example:
        >>> training = xpt.XPTTrainingArguments(output_dir="output/new", gradient_accumulation_steps=8)
        >>> training.rows_per_step  # of 32 rows a micro-batch
        256
        >>> xpt.XPTTrainingArguments(max_steps=100)
        Traceback (most recent call last):
        xpt.program.errors.XPTError: --max_steps contradicts the phases; use --phase1_steps and --phase2_steps
    """

    refused: ClassVar[Mapping[str, str]] = REFUSED

    per_device_train_batch_size: int = option(
        32, "Rows a device and micro-batch. RE22: 256 in all; 32 suits small devices, see --dry_run."
    )
    gradient_accumulation_steps: int = option(
        1, "Micro-batches a step. 8 of 32 rows are RE22's 256; they change neither order nor masks."
    )
    learning_rate: float = option(1e-4, "Peak learning rate of both phases (RE22).")
    lr_scheduler_type: SchedulerType | str = option(
        "linear", "Course of the rate after the warm-up: down to 0 in each phase (RoBERTa)."
    )
    warmup_steps: float = option(0.06, "Steps, or below 1 the share of a phase (RoBERTa: 0.06).")
    weight_decay: float = option(0.01, "Weight decay of matrices (RoBERTa).")
    adam_beta2: float = option(0.98, "RoBERTa's value; steadier at large batches.")
    adam_epsilon: float = option(1e-6, "RoBERTa's value (stock: 1e-8).")
    max_grad_norm: float = option(1.0, "Gradients are scaled down to this norm (stock; RoBERTa: 0, off).")
    seed: int = option(42, "Of new weights, order of rows, masks and dropout (stock).")
    eval_strategy: IntervalStrategy | str = option(
        "no", "Validation loss during a phase, too; off, as both ends of each phase are always measured."
    )
    eval_steps: float | None = option(
        None, "Steps between these, or below 1 a share of the phase. Default: --logging_steps."
    )
    ddp_timeout: int = option(
        86_400, "Seconds that processes wait while the first one prepares the text (stock 1800: too few)."
    )
