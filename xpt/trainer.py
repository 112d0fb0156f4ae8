"""transformers' Trainer for one phase: stateless batches, verified pickle-free checkpoints, our evaluation.

What the stock Trainer leaves open and this one closes: the order of rows and their masks do not depend on
how often the run was interrupted; a checkpoint appears whole or not at all and holds no pickle; optimizer
state is matched by parameter name; the logged loss after a resume counts the steps before it; a signal ends
the step, saves and stops.
"""

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer, TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from xpt import training_state
from xpt.adapters import adapters_aside, has_adapters, load_adapters, save_adapters
from xpt.batching import Examples, MLMCollator, PhaseRows, RowStream
from xpt.checkpoints import Checkpoints
from xpt.evaluation import evaluate_mlm, require_converging
from xpt.files import STAGING
from xpt.interrupts import Interrupted, StopRequest
from xpt.phases import Phase
from xpt.processes import any_process, told_by_first
from xpt.tokenizer import save_tokenizer

# Between the seeds of two processes: phases count theirs up by one, so that no two streams are the same.
PROCESS_SEEDS = 100_003


@dataclass(frozen=True)
class PhaseData:
    """What a phase reads: rows of `stream` from `first_row` on, and what `eval_strategy` scores."""

    stream: RowStream
    first_row: int
    collator: MLMCollator
    tokenizer: PreTrainedTokenizerFast
    validation: Examples | None = None


class XPTTrainer(Trainer):
    """Trains one phase of `data` and keeps its state in `checkpoints`; `stop` may end it early."""

    def __init__(
        self, *, phase: Phase, data: PhaseData, checkpoints: Checkpoints, stop: StopRequest, **kwargs: Any
    ):
        # The stock class insists on data for `eval_strategy`; ours reads `data.validation`.
        super().__init__(eval_dataset=data.validation, **kwargs)
        self.phase, self.data, self.checkpoints, self.stop = phase, data, checkpoints, stop
        self.evaluation_is_due = False
        # Losses are divided by the tokens of all accumulated batches; in transformers 5.4 and 5.5, accelerate
        # would divide once more by their number.
        self.accelerator.gradient_accumulation_steps = 1

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        # The rows are shuffled already, as a function of seed and epoch.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """`eval_loss` and `eval_perplexity` of the validation split, logged like the stock metrics.

        A signal saves the step that was about to be evaluated, and `Interrupted` is raised.
        """
        if self.data.validation is None:
            return {}
        try:
            # Several processes would leave at different sentences, and after the last step no step is left to
            # evaluate before: those finish.
            with self.stop.put_off(self.args.world_size > 1 or self.state.global_step == self.phase.steps):
                scored = evaluate_mlm(
                    self.model, self.data.validation, autocast_dtype=autocast_dtype(self.args)
                )
        except Interrupted as interrupted:
            self.evaluation_is_due = True
            self._save_checkpoint(self.model)
            raise self.interrupted(interrupted.number) from None
        metrics = {
            f"{metric_key_prefix}_loss": scored.loss,
            f"{metric_key_prefix}_perplexity": scored.perplexity,
        }
        self.log(dict(metrics))
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log; a loss that is no number any more ends the run."""
        require_converging(logs.get("loss", 0.0), f"step {self.state.global_step} of {self.phase.name}")
        super().log(logs, *args, **kwargs)

    def interrupted(self, number: int) -> Interrupted:
        """What to raise after a signal, once the state is saved."""
        step = self.state.global_step
        path = self.checkpoints.path(self.phase.name, step)
        return Interrupted(number, f" after step {step} of {self.phase.name}, saved in {path}")

    # ---- checkpoints -------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any = None) -> None:
        self.store_flos()
        step, name = self.state.global_step, self.phase.name
        require_converging(float(self._tr_loss), f"step {step} of {name}")
        with self._own_states(self.checkpoints.path(name, step)) as shared:
            if self.args.should_save:
                self.checkpoints.save(
                    name,
                    step,
                    lambda folder: self._write_checkpoint(folder, shared),
                    self.args.save_total_limit,
                    training_state.estimated_bytes(self.model),
                )
        if self.args.should_save and step < self.phase.steps:
            self.checkpoints.require_space(self.checkpoints.size(name, step), 1)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _own_states(self, checkpoint: Path) -> Iterator[Path]:
        """A folder with what each process has of its own, while the first one makes a checkpoint of it."""
        shared = checkpoint.with_name(f".rng-{checkpoint.name}{STAGING}shared")
        try:
            with self.checkpoints.reporting(checkpoint):
                shared.mkdir(parents=True, exist_ok=True)
                training_state.save_rng_state(shared, self.args.process_index)
                loss = {"since_log": float(self._tr_loss)}
                training_state.write_json(shared / self._loss_file, loss)
            self.accelerator.wait_for_everyone()
            yield shared
        finally:
            if self.args.should_save:
                shutil.rmtree(shared, ignore_errors=True)

    def _write_checkpoint(self, folder: Path, shared: Path) -> None:
        self._save(str(folder))
        training_state.save_optimizer(self.optimizer, self.model, folder)
        training_state.write_json(folder / "scheduler.json", self.lr_scheduler.state_dict())
        if self.accelerator.scaler is not None:
            training_state.write_json(folder / "scaler.json", self.accelerator.scaler.state_dict())
        training_state.write_json(folder / "progress.json", self._progress())
        for file in shared.iterdir():
            file.replace(folder / file.name)
        self.state.save_to_json(str(folder / "trainer_state.json"))

    @property
    def _loss_file(self) -> str:
        return f"loss-{self.args.process_index}.json"

    def _progress(self) -> dict[str, Any]:
        return {
            "loss_logged": float(self._total_loss_scalar),
            "last_logged_step": self._globalstep_last_logged,
            "evaluation_is_due": self.evaluation_is_due,
        }

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # The stock method also pickles the training arguments.
        save_model(
            self.accelerator.unwrap_model(self.model, keep_torch_compile=False),
            self.data.tokenizer,
            Path(output_dir or self.args.output_dir),
        )

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: PreTrainedModel | None = None
    ) -> None:
        with training_state.reading(Path(resume_from_checkpoint)):
            load_weights(model or self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with training_state.reading(Path(checkpoint)):
                training_state.load_optimizer(self.optimizer, self.model, Path(checkpoint))
                schedule = training_state.read_json(Path(checkpoint) / "scheduler.json")
                self.lr_scheduler.load_state_dict(schedule)

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(
                training_state.read_json(Path(checkpoint) / "scaler.json")
            )

    def _load_rng_state(self, checkpoint: str | None) -> None:
        # Called right before the first resumed step, after the stock loop has set its loss sums to zero.
        if checkpoint is None:
            return
        with training_state.reading(Path(checkpoint)):
            training_state.load_rng_state(Path(checkpoint), self.args.process_index)
            progress = training_state.read_json(Path(checkpoint) / "progress.json")
            loss = training_state.read_json(Path(checkpoint) / self._loss_file)
            self._tr_loss = torch.tensor(loss["since_log"], device=self.args.device)
            self._total_loss_scalar = progress["loss_logged"]
            self._globalstep_last_logged = progress["last_logged_step"]
        if progress["evaluation_is_due"]:
            self.evaluate()


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Model, its code and its tokenizer, as another machine loads them; adapters in a folder of their own."""
    sparse, model.config.sparse_prediction = model.config.sparse_prediction, False
    try:
        with adapters_aside(model):
            model.save_pretrained(folder)
    finally:
        model.config.sparse_prediction = sparse
    if has_adapters(model):
        save_adapters(model, folder)
    save_tokenizer(tokenizer, folder)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read a checkpoint's tensors into `model`, in place, adapters included; every one must be there.

    Not `from_pretrained`: a model that transformers 5.4 loaded is saved again under other tensor names.
    """
    if has_adapters(model):
        load_adapters(model, folder)
    with adapters_aside(model):
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    tied = set(getattr(model, "all_tied_weights_keys", None) or model._tied_weights_keys)
    if unexpected or set(missing) - tied:
        raise ValueError(
            f"{folder}: does not fit this model: {sorted(unexpected) or sorted(set(missing) - tied)}"
        )


def autocast_dtype(args: Any) -> torch.dtype | None:
    """The run's mixed precision, for evaluation outside of the Trainer's own loop."""
    if args.bf16:
        return torch.bfloat16
    return torch.float16 if args.fp16 else None


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
    if args.ddp_find_unused_parameters is None:
        narrowed.ddp_find_unused_parameters = False  # every trained parameter has a gradient
    return narrowed


class StopAtSignal(TrainerCallback):
    """Ends training after the step in which a signal reached any process; the state is saved."""

    def __init__(self, stop: StopRequest):
        self.stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if any_process(self.stop.number is not None, args.device):
            control.should_save = control.should_training_stop = True


def train_phase(
    model: PreTrainedModel,
    phase: Phase,
    args: Any,
    data: PhaseData,
    checkpoints: Checkpoints,
    stop: StopRequest,
    callbacks: list[TrainerCallback],
) -> None:
    """Train `phase` from its newest checkpoint that verifies, or its start; `model` ends with its weights.

    Raises `Interrupted` where a signal ended it, with everything saved.
    """
    found = told_by_first((checkpoints.newest(phase.name) or 0) if args.should_save else 0, args.device)
    path = checkpoints.path(phase.name, found)
    if found == phase.steps:
        load_weights(model, path)
        return
    rows_per_step = args.train_batch_size * args.gradient_accumulation_steps * max(args.world_size, 1)
    trainer = XPTTrainer(
        model=model,
        args=args,
        phase=phase,
        data=data,
        checkpoints=checkpoints,
        stop=stop,
        train_dataset=PhaseRows(data.stream, data.first_row, phase.steps * rows_per_step),
        data_collator=data.collator,
        callbacks=[*callbacks, StopAtSignal(stop)],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    if args.should_save:
        checkpoints.require_space(training_state.estimated_bytes(model), 2)
    set_seed(args.seed + PROCESS_SEEDS * args.process_index)  # each process drops activations of its own
    with stop.put_off():
        trainer.train(resume_from_checkpoint=str(path) if found else None)
        trainer._save_checkpoint(trainer.model)
    if any_process(stop.number is not None, args.device):
        raise trainer.interrupted(stop.number or SIGTERM)
