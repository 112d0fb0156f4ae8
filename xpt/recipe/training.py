"""What a user says of training, of its folder and its log."""

from dataclasses import dataclass

from transformers import IntervalStrategy, SchedulerType

from xpt.program.settings import option
from xpt.training.arguments import HubArguments


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
    logging_steps: float = option(
        50,
        "Steps between log lines, or below 1 a share of the phase. The line's loss is the mean of these "
        "steps, so that fewer make it noisier; see log.jsonl and loss.png.",
    )
    num_fills: int = option(
        3, "Held-out sentences whose masked word is filled before and after training, for the reader's eye."
    )


@dataclass
class XPTTrainingArguments(RunArguments):
    """Training: transformers' options with the defaults of the method."""

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
