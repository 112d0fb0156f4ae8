"""transformers' Trainer, stopped at any moment and resumed exactly, from verified, pickle-free checkpoints.

What the stock Trainer leaves open and this one closes: rows come in the order of the data set, which is a
function of seed and index, however often the run was interrupted; a checkpoint appears whole or not at all
and holds no pickle; optimizer state is matched by parameter name; the logged loss after a resume counts the
steps before it; a signal ends the step, saves and stops.
"""

import shutil
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainerCallback, set_seed
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.trainer_callback import PrinterCallback

from xpt.program.errors import XPTError
from xpt.program.files import STAGING
from xpt.program.interrupts import Interrupted, StopRequest
from xpt.program.processes import any_process, told_by_first
from xpt.training import training_state
from xpt.training.checkpoints import Checkpoints

# Between the seeds of two processes: phases count theirs up by one, so that no two streams are the same.
PROCESS_SEEDS = 100_003
DIVERGED = 1e9  # nats: a loss, or the sum of some, that no model of words has


class ResumableTrainer(Trainer):
    """Trains one `stage` of `steps` and keeps its state in `checkpoints`; `stop` may end it early.

    A subclass says how its model is written and read, and what is measured.
    """

    def __init__(
        self, *, stage: str, steps: int, checkpoints: Checkpoints, stop: StopRequest, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.stage, self.steps, self.checkpoints, self.stop = stage, steps, checkpoints, stop
        self.evaluation_is_due = False
        self.ends_by_evaluation = False  # so that a signal has to wait for one
        # The loss is divided here, whichever way; in transformers 5.4 and 5.5, accelerate would divide once
        # more by the number of accumulated batches.
        self.accelerator.gradient_accumulation_steps = 1

    @abstractmethod
    def write_model(self, folder: Path) -> None:
        """Write into `folder` what `read_model` needs of the model."""

    @abstractmethod
    def read_model(self, folder: Path) -> None:
        """Bring the model to what `write_model` left in a checkpoint."""

    def collect(self) -> None:
        """Bring the weights together for `write_model`, where processes share them out; all call it."""

    @abstractmethod
    def measure(self, metric_key_prefix: str) -> dict[str, float]:
        """Evaluate; the metrics' names begin with the prefix."""

    def estimated_bytes(self) -> int:
        """About how large a checkpoint is."""
        return training_state.estimated_bytes(self.model)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        # The rows are shuffled already, as a function of seed and epoch.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """What `measure` gives, logged like the stock metrics.

        A signal saves the step that was about to be evaluated, and `Interrupted` is raised.
        """
        try:
            # Several processes would leave at different rows, and after the last step, which any may be that
            # an evaluation ends with, no step is left to evaluate before: those finish.
            last = self.state.global_step == self.steps
            with self.stop.put_off(self.args.world_size > 1 or last or self.ends_by_evaluation):
                metrics = self.measure(metric_key_prefix)
        except Interrupted as interrupted:
            self.evaluation_is_due = True
            self._save_checkpoint(self.model)
            raise self.interrupted(interrupted.number) from None
        if metrics:
            self.log(dict(metrics))
            self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log; a loss that is no number any more ends the run."""
        require_converging(logs.get("loss", 0.0), f"step {self.state.global_step} of {self.stage}")
        super().log(logs, *args, **kwargs)

    def interrupted(self, number: int) -> Interrupted:
        """What to raise after a signal, once the state is saved."""
        step = self.state.global_step
        return Interrupted(
            number, f" after step {step} of {self.stage}, saved in {self.checkpoints.path(self.stage, step)}"
        )

    # ---- checkpoints -------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any = None) -> None:
        self.store_flos()
        step, name = self.state.global_step, self.stage
        require_converging(float(self._tr_loss), f"step {step} of {name}")
        self.collect()
        with self._own_states(self.checkpoints.path(name, step)) as shared:
            if self.args.should_save:
                self.checkpoints.save(
                    name,
                    step,
                    lambda folder: self._write_checkpoint(folder, shared),
                    self.args.save_total_limit,
                    self.estimated_bytes(),
                )
        if self.args.should_save and step < self.steps:
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
                processes = (self.args.process_index, self.args.world_size)
                training_state.save_optimizer_rows(self.optimizer, self.model, shared, *processes)
                loss = {"since_log": float(self._tr_loss)}
                training_state.write_json(shared / self._loss_file, loss)
            self.accelerator.wait_for_everyone()
            yield shared
        finally:
            if self.args.should_save:
                shutil.rmtree(shared, ignore_errors=True)

    def _write_checkpoint(self, folder: Path, shared: Path) -> None:
        self.write_model(folder)
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
        self.write_model(Path(output_dir or self.args.output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        with training_state.reading(Path(resume_from_checkpoint)):
            self.read_model(Path(resume_from_checkpoint))

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
            self._load_generators(Path(checkpoint))
            progress = training_state.read_json(Path(checkpoint) / "progress.json")
            self._tr_loss = torch.tensor(self._stored_loss(Path(checkpoint)), device=self.args.device)
            self._total_loss_scalar = progress["loss_logged"]
            self._globalstep_last_logged = progress["last_logged_step"]
        if progress["evaluation_is_due"]:
            self.evaluate()

    def _load_generators(self, checkpoint: Path) -> None:
        rank = self.args.process_index
        if training_state.has_rng_state(checkpoint, rank):
            training_state.load_rng_state(checkpoint, rank)
        else:
            training_state.seed_newcomer(self.args.seed, self.state.global_step, rank)

    def _stored_loss(self, checkpoint: Path) -> float:
        """Summed by this process since the last log line; by another number of them, the mean of theirs."""
        files = sorted(checkpoint.glob("loss-*.json"))
        if len(files) == self.args.world_size:
            files = [checkpoint / self._loss_file]
        return sum(training_state.read_json(file)["since_log"] for file in files) / len(files)

    # ---- to the end --------------------------------------------------------------------------------------

    def newest_step(self) -> int:
        """The step of the newest checkpoint that verifies, in every process; 0 where there is none."""
        found = (self.checkpoints.newest(self.stage) or 0) if self.args.should_save else 0
        return told_by_first(found, self.args.device)

    def train_from(self, step: int) -> None:
        """Train from a checkpoint's step, or the start (0), to the end, and save that.

        Raises `Interrupted` where a signal ended it, with everything saved.
        """
        self.add_callback(StopAtSignal(self.stop))
        self.remove_callback(DEFAULT_PROGRESS_CALLBACK)  # a notebook's is another
        self.remove_callback(PrinterCallback)
        if self.args.should_save:
            self.checkpoints.require_space(self.estimated_bytes(), 2)
        # Each process drops activations of its own.
        set_seed(self.args.seed + PROCESS_SEEDS * self.args.process_index)
        with self.stop.put_off():
            path = self.checkpoints.path(self.stage, step)
            self.train(resume_from_checkpoint=str(path) if step else None)
            self._save_checkpoint(self.model)
        if any_process(self.stop.number is not None, self.args.device):
            raise self.interrupted(self.stop.number or SIGTERM)


class StopAtSignal(TrainerCallback):
    """Ends training after the step in which a signal reached any process; the state is saved."""

    def __init__(self, stop: StopRequest):
        self.stop = stop

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if any_process(self.stop.number is not None, args.device):
            control.should_save = control.should_training_stop = True


def require_converging(loss: float, where: str) -> None:
    """Raise `XPTError` where a loss is not finite, or as good as that: nothing good comes after it."""
    if not abs(loss) < DIVERGED:
        raise XPTError(
            f"diverged at {where}: the loss is {loss}; give a lower learning rate and another --output_dir"
        )
