"""The Trainer for one phase of post-training: its rows, its evaluation, its model on disk."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import IntervalStrategy, PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from xpt.program.files import remove_folder, write_folder_atomically
from xpt.program.interrupts import StopRequest
from xpt.program.manifest import write_manifest
from xpt.program.precision import autocast_dtype
from xpt.text.examples import Examples
from xpt.text.pair_batches import Collate
from xpt.text.reading import PhaseRows, Reading
from xpt.text.tokenizer import save_tokenizer
from xpt.training import training_state
from xpt.training.adapters import adapters_aside, has_adapters, load_adapters, save_adapters
from xpt.training.along import EndAtPlateau, KeepModels
from xpt.training.checkpoints import Checkpoints
from xpt.training.evaluation import evaluate_mlm
from xpt.training.phases import Phase
from xpt.training.rates import apply_factors, going_on, rates_by_group
from xpt.training.resumable import ResumableTrainer
from xpt.training.sharded import gather, scatter, shard
from xpt.training.training_state import read_json
from xpt.transplant.architectures import is_causal
from xpt.transplant.decoder_source import own_names


@dataclass(frozen=True)
class PhaseData:
    """What a phase reads, how its rows become batches, and what `eval_strategy` scores."""

    reading: Reading
    collator: Collate
    tokenizer: PreTrainedTokenizerFast
    validation: Examples | None = None


class XPTTrainer(ResumableTrainer):
    """Trains one phase of `data` and keeps its state in `checkpoints`; `stop` may end it early.

    Where processes share out the weights, `model` waits on the CPU while a sharded copy of it trains; it is
    what is evaluated and saved, with the weights that the copy has by then.
    """

    def __init__(
        self,
        *,
        model: PreTrainedModel,
        args: Any,
        phase: Phase,
        data: PhaseData,
        checkpoints: Checkpoints,
        stop: StopRequest,
        **kwargs: Any,
    ) -> None:
        self.phase = phase
        self.whole, self.sharded = model, shard(model.cpu(), args.device) if args.shards else None
        # The stock class insists on data for `eval_strategy`; ours reads `data.validation`.
        super().__init__(
            model=model if self.sharded is None else self.sharded,
            args=args,
            stage=phase.name,
            steps=phase.steps,
            checkpoints=checkpoints,
            stop=stop,
            eval_dataset=data.validation,
            data_collator=data.collator,
            **kwargs,
        )
        self.data = data
        self.until = phase.until
        self.ends_by_evaluation = phase.until is not None
        if self.sharded is not None:
            # Autocast alone: accelerate would wrap it in DDP, or shard it once more.
            self.model = self.accelerator.prepare_model(
                self.sharded, device_placement=False, evaluation_mode=True
            )
            self.model._is_accelerate_prepared = True
            self.model_wrapped = self.model

    # ---- learning rates ----------------------------------------------------------------------------------

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """The stock one, with the phase's factors."""
        is_new = self.optimizer is None
        optimizer = super().create_optimizer(*args, **kwargs)
        if is_new and self.phase.learning_rates:
            apply_factors(optimizer, self.model, self.phase.learning_rates)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The stock one; of a schedule that phases share, from where this one stands in it."""
        shared = self.phase.schedule
        scheduler = super().create_scheduler(shared.steps if shared else num_training_steps, optimizer)
        if shared is not None:
            self.lr_scheduler = scheduler = going_on(scheduler, shared.start)
        return scheduler

    def train_from(self, step: int) -> None:
        """Train; where a schedule goes on, from its start with the moments of the phase before."""
        shared = self.phase.schedule
        if step == 0 and shared is not None and shared.before is not None:
            self.add_callback(TakeOver(self.model, self.checkpoints.path(*shared.before)))
        super().train_from(step)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log; the rate of each group that has a factor, too."""
        if "learning_rate" in logs and self.phase.learning_rates:
            logs |= rates_by_group(self.optimizer, logs["learning_rate"], self.phase.learning_rates)
        super().log(logs, *args, **kwargs)

    # ---- the model ---------------------------------------------------------------------------------------

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        if self.sharded is None:  # which is where it belongs
            super()._move_model_to_device(model, device)

    def collect(self) -> None:
        """Gather the weights into the whole model."""
        if self.sharded is not None:
            gather(self.sharded, self.whole)

    def measure(self, metric_key_prefix: str) -> dict[str, float]:
        """Loss and perplexity of the validation split; nothing without one."""
        if self.data.validation is None:
            return {}
        self.collect()
        model = self.model if self.sharded is None else self.whole.to(self.args.device)
        scored = evaluate_mlm(model, self.data.validation, autocast_dtype=autocast_dtype(self.args))
        if self.sharded is not None:
            self.whole.cpu()
        return {
            f"{metric_key_prefix}_loss": scored.loss,
            f"{metric_key_prefix}_perplexity": scored.perplexity,
        }

    def write_model(self, folder: Path) -> None:
        """The model as another machine loads it."""
        model = self.model if self.sharded is None else self.whole
        save_model(
            self.accelerator.unwrap_model(model, keep_torch_compile=False), self.data.tokenizer, folder
        )

    def keep_model(self, folder: Path) -> None:
        """The model alone, beside the checkpoints; one that stood there was of steps that are run again."""
        self.collect()
        if self.args.should_save:
            with self.checkpoints.reporting(folder):
                if folder.exists():
                    remove_folder(folder)
                with write_folder_atomically(folder) as staging:
                    self.write_model(staging)
                    write_manifest(staging, {**self.checkpoints.facts, "kept": folder.name})
        self.accelerator.wait_for_everyone()

    def ended(self, step: int) -> bool:
        """Whether the checkpoint of `step` is the end of the phase."""
        if step == self.steps:
            return True
        if not step or self.until is None:
            return False
        state = self.checkpoints.path(self.stage, step) / "trainer_state.json"
        return self.until.reached(read_json(state)["log_history"])

    def read_model(self, folder: Path) -> None:
        """Its weights, adapters included."""
        load_weights(self.model if self.sharded is None else self.whole, folder)
        self._share_out()

    def start_at(self, origins: Mapping[str, Path]) -> None:
        """Bring the model to the weights that the phase starts from, out of the folders that it names."""
        assert self.phase.start_from is not None
        load_tensors(
            self.model if self.sharded is None else self.whole,
            self.phase.start_from.weights(origins, self.model.config),
            f"the start of {self.phase.name}",
        )
        self._share_out()

    def _share_out(self) -> None:
        if self.sharded is not None:
            scatter(self.whole, self.sharded)


class TakeOver(TrainerCallback):
    """Gives the new optimizer of `model` the moments that a checkpoint has, before the first step."""

    def __init__(self, model: Any, checkpoint: Path):
        self.model, self.checkpoint = model, checkpoint

    def on_train_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        with training_state.reading(self.checkpoint):
            training_state.load_moments(optimizer, self.model, self.checkpoint)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Model, its code and its tokenizer, as another machine loads them; adapters in a folder of their own."""
    for_use = {"use_cache": True} if is_causal(model.config) else {"sparse_prediction": False}
    with adapters_aside(model), _configured(model.config, for_use):
        model.save_pretrained(folder)
    if has_adapters(model):
        save_adapters(model, folder)
    save_tokenizer(tokenizer, folder)


@contextmanager
def _configured(config: Any, values: Mapping[str, Any]) -> Iterator[None]:
    """While open, a configuration says what is of use to others, not to training."""
    before = {name: getattr(config, name) for name in values}
    for name, value in values.items():
        setattr(config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(config, name, value)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read a checkpoint's tensors into `model`, in place, adapters included; every one must be there.

    Not `from_pretrained`: a model that transformers 5.4 loaded is saved again under other tensor names.
    """
    if has_adapters(model):
        load_adapters(model, folder)
    load_tensors(model, load_file(folder / "model.safetensors"), str(folder))


def load_tensors(model: PreTrainedModel, tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """Give `model` these weights, in place; every one must be there, and is of `origin` where one is not."""
    if is_causal(model.config):
        tensors = own_names(model, tensors)
    with adapters_aside(model):
        missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = set(getattr(model, "all_tied_weights_keys", None) or model._tied_weights_keys)
    if unexpected or set(missing) - tied:
        raise ValueError(
            f"{origin}: does not fit this model: {sorted(unexpected) or sorted(set(missing) - tied)}"
        )


def phase_arguments(args: Any, phase: Phase, index: int, folder: Path) -> Any:
    """The run's training arguments, narrowed to one phase."""
    narrowed = copy.deepcopy(args)
    narrowed.output_dir = str(folder)
    narrowed.max_steps = phase.steps
    narrowed.learning_rate = phase.learning_rate
    narrowed.warmup_steps = phase.warmup_steps
    narrowed.lr_scheduler_type = phase.lr_scheduler_type
    narrowed.seed = args.seed + index
    narrowed.remove_unused_columns = False  # rows are not dictionaries
    narrowed.push_to_hub = False
    narrowed.logging_nan_inf_filter = False  # it would hide that the run diverged
    if phase.until:
        narrowed.eval_strategy, narrowed.eval_steps = IntervalStrategy.STEPS, phase.until.every
    if args.ddp_find_unused_parameters is None:
        narrowed.ddp_find_unused_parameters = False  # every trained parameter has a gradient
    return narrowed


def train_phase(
    model: PreTrainedModel,
    phase: Phase,
    args: Any,
    data: PhaseData,
    checkpoints: Checkpoints,
    stop: StopRequest,
    callbacks: list[TrainerCallback],
    keep: Mapping[int, Path] | None = None,
    origins: Mapping[str, Path] | None = None,
) -> int:
    """Train `phase` from its newest checkpoint that verifies, or its start; `model` ends with its weights.

    Args:
        keep: of steps after which the model is kept, the folder.
        origins: of phases before it, by name, the folder of the weights that each ended with.

    Returns:
        The step that it ended with. Raises `Interrupted` where a signal ended it, with everything saved.
    """
    trainer = XPTTrainer(
        model=model,
        args=args,
        phase=phase,
        data=data,
        checkpoints=checkpoints,
        stop=stop,
        train_dataset=PhaseRows(data.reading, phase.steps, args.rows_per_step),
        callbacks=callbacks,
    )
    if phase.until:
        trainer.add_callback(EndAtPlateau(phase.until))
    if keep:
        trainer.add_callback(KeepModels(keep, trainer.keep_model))
    end = trainer.newest_step()
    if trainer.ended(end):
        trainer.read_model(checkpoints.path(phase.name, end))
    else:
        if phase.start_from and not end:
            trainer.start_at(origins or {})
        trainer.train_from(end)
        end = trainer.state.global_step
    model.to(args.device)  # where a sharded copy was trained, it has waited on the CPU
    return end
