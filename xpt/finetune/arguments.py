"""What a user says of a fine-tuning: model, tasks and data, training; every field with its reason."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from transformers import TrainingArguments

from xpt.finetune.task import Hyperparameters, Options
from xpt.program.errors import XPTError
from xpt.program.settings import check_values, option
from xpt.survey.names import as_hub_id
from xpt.training.arguments import HUB_REFUSED, HubArguments

EVALUATIONS_PER_EPOCH = 4
LORA_LEARNING_RATE = 5e-4
# What the official scripts set for each task.
OFFICIAL = (
    *("learning_rate", "per_device_train_batch_size", "num_train_epochs", "warmup_steps", "weight_decay"),
)

DEFAULT_OUTPUT = "output/klue"
# Options of TrainingArguments that cannot be meant here, and why or what instead.
REFUSED = {
    "max_steps": "is not used: give --num_train_epochs",
    "resume_from_checkpoint": "is not needed: a run goes on from its --output_dir by itself",
    "load_best_model_at_end": "is not needed: the best weights are always the result",
    "metric_for_best_model": "is not used: the benchmark says which metric decides",
    "greater_is_better": "is not used: the benchmark says which metric decides",
    "auto_find_batch_size": "would change what a step reads; use --per_device_train_batch_size",
    "train_sampling_strategy": "is not used: see --length_grouping",
    "eval_strategy": "is not used: see --evaluations_per_epoch",
    "eval_steps": "is not used: see --evaluations_per_epoch",
    "save_strategy": "is not used: a checkpoint comes with each evaluation",
    "save_steps": "is not used: a checkpoint comes with each evaluation",
    "label_smoothing_factor": "is refused: losses are the benchmark's",
    "accelerator_config": "is refused: processes would read rows twice or never",
    "save_only_model": "is refused: an interrupted run could not go on",
    "ignore_data_skip": "is refused: a resumed run would read other rows",
    "enable_jit_checkpoint": "is not needed: SIGTERM saves and stops by itself",
    **HUB_REFUSED,
    "fsdp": "is not supported; use torchrun without it",
    "deepspeed": "is not supported; use torchrun without it",
}


@dataclass
class ModelArguments:
    """Model: the checkpoint that is fine-tuned.

    Raises:
        XPTError: text where a number or a truth value is wanted, or a name of the survey that the Hub lacks.

    Example:
        >>> xpt.ModelArguments("klue/bert-base", lora=True).lora_r
        8
        >>> xpt.ModelArguments("klue-bert").model_name_or_path  # a name that xpt models lists
        'klue/bert-base'
    """

    model_name_or_path: str | None = option(
        None,
        "Encoder, decoder or encoder-decoder: Hub id, folder or a name that xpt models lists; an XPT "
        "checkpoint too. Default: none, it must be given.",
    )
    model_revision: str | None = option(None, "Branch, tag or commit of the model on the Hub. Default: main.")
    lora: bool = option(
        False, "Train LoRA adapters (peft) and the head instead of all weights; see lora_r and the rest."
    )
    lora_r: int = option(8, "Rank of the adapters (peft's default).")
    lora_alpha: int = option(16, "Adapters are scaled by lora_alpha / lora_r.")
    lora_dropout: float = option(0.1, "Dropout of the adapters' input.")
    lora_target_modules: list[str] | None = option(
        None, "Ends of the names of adapted matrices. Default: query and value of attention (Hu et al. 2021)."
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.model_name_or_path:
            self.model_name_or_path, self.model_revision = as_hub_id(
                self.model_name_or_path, self.model_revision
            )


@dataclass
class TaskArguments:
    """Task and data.

    Raises:
        XPTError: a value that is none of the choices.

    Example:
        >>> tasks = xpt.TaskArguments(["nli", "sts"], seeds=[1, 2, 3], data_dir="klue-v1.1")
        >>> tasks.max_train_examples is None  # all
        True
    """

    task: list[str] | None = option(
        None,
        "ynat, sts, nli, ner, re, dp, mrc, wos; of kobest boolq, copa, hellaswag, sentineg, wic; several, or "
        "all. Default: none, it must be given.",
    )
    benchmark: Literal["klue", "kobest"] = option(
        "klue",
        "Whose tasks: KLUE (Park et al. 2021), scored on its validation set, as its test set is not public; "
        "KoBEST (Jang et al. 2022), scored on its test set, the best step chosen on validation.",
    )
    seeds: list[int] | None = option(
        None,
        "Repeat each task with these seeds; the spread tells what a difference is worth. Default: --seed.",
    )
    dataset_name: str | None = option(
        None,
        "Data set on the Hub, or a folder laid out as that one. Default: the benchmark's, klue/klue or "
        "skt/kobest_v1.",
    )
    dataset_revision: str | None = option(None, "Branch, tag or commit of the data set. Default: its newest.")
    data_dir: str | None = option(
        None,
        "Folder of the official release (KLUE v1.1, KoBEST v1.0; plain or .xz files) instead of the Hub.",
    )
    train_file: str | None = option(
        None, "Official file to train on, plain or .xz; of one task. Default: the Hub's or data_dir's."
    )
    validation_file: str | None = option(
        None,
        "Official file to choose the best step on, and of KLUE to score; of one task. Default: as above.",
    )
    test_file: str | None = option(None, "KoBEST: official file to score; of one task. Default: as above.")
    max_train_examples: int | None = option(
        None, "Train on this many examples, a seeded choice; the results say so. Default: all."
    )
    max_validation_examples: int | None = option(
        None, "Validate on this many examples, the first ones; the results say so. Default: all."
    )
    max_test_examples: int | None = option(None, "KoBEST: the same of what is scored. Default: all.")
    entity_markers: Literal["plain", "typed", "none"] = option(
        "plain", "re: mark entities as the benchmark does, with their types (Zhou and Chen 2021), or not."
    )
    tree_constraint: bool = option(
        False, "dp: the best tree of each sentence, not the best head of each word alone."
    )
    use_pos: bool = option(
        True, "dp: read gold part-of-speech tags, as the benchmark; false parses from words alone."
    )
    linear_head: bool = option(
        False,
        "Tasks of one label a text or pair (ynat, sts, nli, re, boolq, sentineg, wic): one linear layer on "
        "the first token instead of the model's own head.",
    )

    def __post_init__(self) -> None:
        check_values(self)

    def task_options(self) -> Options:
        """The changes to tasks that were asked for."""
        return Options(self.entity_markers, self.tree_constraint, self.use_pos, self.linear_head)


@dataclass
class FineTuningArguments(HubArguments):
    """Training: transformers' options; what is not given is the benchmark's own for each task.

    Raises:
        XPTError: an option that cannot be meant or cannot be used on this machine.

    Example:
        >>> training = xpt.FineTuningArguments(output_dir="output/nli", learning_rate=3e-5)
        >>> training.given
        {'learning_rate': 3e-05}
    """

    refused: ClassVar[Mapping[str, str]] = REFUSED

    output_dir: str | None = option(
        None,
        "Folder of the result; of several tasks or seeds, one folder each in it. The same command goes on "
        "where it stopped. Default: output/klue, or of another benchmark output/ and its name.",
    )
    max_seq_length: int | None = option(
        None, "Tokens of a sequence. Default: the benchmark's, or what the model can read."
    )
    learning_rate: float | None = option(
        None, "Peak learning rate. Default: the benchmark's; with LoRA 5e-4 (Hu et al. 2021, RoBERTa-base)."
    )
    per_device_train_batch_size: int | None = option(
        None, "Sequences a device and micro-batch. Default: the benchmark's."
    )
    num_train_epochs: float | None = option(None, "Epochs. Default: the benchmark's.")
    warmup_steps: float | None = option(
        None, "Steps, or below 1 the share of training, in which the rate rises. Default: the benchmark's."
    )
    weight_decay: float | None = option(
        None, "Weight decay of what is neither bias nor norm. Default: the benchmark's."
    )
    lr_scheduler_type: str = option("linear", "Course of the rate after the warm-up: down to 0.")
    max_grad_norm: float = option(1.0, "Gradients are scaled down to this norm.")
    adam_epsilon: float = option(1e-8, "As in the benchmark.")
    seed: int = option(42, "Of the new head, the order of examples and dropout; the benchmark's.")
    evaluations_per_epoch: float = option(
        EVALUATIONS_PER_EPOCH,
        "Validations an epoch; the best one's weights are the result. As in the benchmark.",
    )
    early_stopping_patience: int | None = option(
        None,
        "Validations without a better score after which training stops; 0 never does. Default: the "
        "benchmark's, 5 in sts, nli and ner, never in the others.",
    )
    length_grouping: bool = option(
        True, "Sequences of similar length share a batch: less padding, the same examples an epoch."
    )
    per_device_eval_batch_size: int = option(64, "Sequences scored at once; changes no score.")
    save_total_limit: int | None = option(2, "Checkpoints kept while training; 2, as one may get damaged.")
    logging_steps: float = option(50, "Steps between log lines, or below 1 a share of training.")

    def __post_init__(self) -> None:
        self.names_folder = self.output_dir is not None
        if self.output_dir is None:
            self.output_dir = DEFAULT_OUTPUT
        chosen = self.checked()
        self.given = {name: getattr(self, name) for name in OFFICIAL if getattr(self, name) is not None}
        for name in OFFICIAL:  # the stock class compares them with numbers
            setattr(self, name, self.given.get(name, TrainingArguments.__dataclass_fields__[name].default))
        super().__post_init__()
        self.chosen = chosen

    def for_task(self, official: Hyperparameters, seed: int, lora: bool) -> "FineTuningArguments":
        """A copy with the task's own values where the user gave none; adapters learn at a rate of their own.

        Raises:
            XPTError: a batch size, a number of epochs or a length that nothing can be trained with.
        """
        narrowed = copy.deepcopy(self)
        defaults: dict[str, Any] = {
            "learning_rate": LORA_LEARNING_RATE if lora else official.learning_rate,
            "per_device_train_batch_size": official.per_device_train_batch_size,
            "num_train_epochs": official.num_train_epochs,
            "warmup_steps": official.warmup_ratio,
            "weight_decay": official.weight_decay,
        }
        for name, value in {**defaults, **self.given}.items():
            setattr(narrowed, name, value)
        narrowed.max_seq_length = self.max_seq_length or official.max_seq_length
        narrowed.seed = seed
        for name in ("per_device_train_batch_size", "num_train_epochs", "max_seq_length"):
            if getattr(narrowed, name) <= 0:
                raise XPTError(f"--{name} is {getattr(narrowed, name)}; give more than 0")
        return narrowed
