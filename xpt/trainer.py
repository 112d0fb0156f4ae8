"""transformers' Trainer for one phase: stateless batches, pickle-free checkpoints, our evaluation.

What the stock Trainer leaves open and this one closes: the order of rows and their masks do not depend on
how often the run was interrupted; a checkpoint appears whole or not at all and holds no pickle; optimizer
state is matched by parameter name; the logged loss after a resume counts the steps before it.
"""

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Trainer, TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from xpt import checkpoint as store
from xpt.batching import Examples, MLMCollator, PhaseRows, RowStream
from xpt.evaluation import evaluate_mlm
from xpt.files import write_folder_atomically
from xpt.phases import Phase
from xpt.tokenizer import save_tokenizer


class XPTTrainer(Trainer):
    """Trains one phase. `validation` is what `eval_strategy` scores, by `evaluate_mlm`."""

    def __init__(self, *, tokenizer: PreTrainedTokenizerFast, validation: Examples | None, **kwargs: Any):
        # The stock class insists on data for `eval_strategy`; ours reads `validation`.
        super().__init__(eval_dataset=validation, **kwargs)
        self.tokenizer, self.validation = tokenizer, validation
        # Losses are divided by the tokens of all accumulated batches; in transformers 5.4 and 5.5, accelerate
        # would divide once more by their number.
        self.accelerator.gradient_accumulation_steps = 1

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        # The rows are shuffled already, as a function of seed and epoch.
        return SequentialSampler(train_dataset if train_dataset is not None else self.train_dataset)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """`eval_loss` and `eval_perplexity` of the validation split, logged like the stock metrics."""
        if self.validation is None:
            return {}
        scored = evaluate_mlm(self.model, self.validation, autocast_dtype=autocast_dtype(self.args))
        metrics = {
            f"{metric_key_prefix}_loss": scored.loss,
            f"{metric_key_prefix}_perplexity": scored.perplexity,
        }
        self.log(dict(metrics))
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # ---- checkpoints -------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any = None) -> None:
        run = Path(self.args.output_dir)
        target = run / f"checkpoint-{self.state.global_step}"
        self.store_flos()
        # Every rank's generators go into the same folder, so all ranks hold it open before it is renamed.
        shared = run / f".rng-{self.state.global_step}"
        shared.mkdir(parents=True, exist_ok=True)
        store.save_rng_state(shared, self.args.process_index)
        self.accelerator.wait_for_everyone()
        if self.args.should_save and not target.exists():
            with write_folder_atomically(target) as staging:
                self._save(str(staging))
                store.save_optimizer(self.optimizer, self.model, staging)
                store.write_json(staging / "scheduler.json", self.lr_scheduler.state_dict())
                if self.accelerator.scaler is not None:
                    store.write_json(staging / "scaler.json", self.accelerator.scaler.state_dict())
                store.write_json(staging / "progress.json", self._loss_progress())
                for file in shared.iterdir():
                    shutil.move(file, staging / file.name)
                self.state.save_to_json(str(staging / "trainer_state.json"))
            self._rotate(run)
        if self.args.should_save:
            shutil.rmtree(shared)
        self.accelerator.wait_for_everyone()

    def _loss_progress(self) -> dict[str, float]:
        return {
            "loss_since_log": float(self._tr_loss),
            "loss_logged": float(self._total_loss_scalar),
            "last_logged_step": self._globalstep_last_logged,
        }

    def _rotate(self, folder: Path) -> None:
        limit = self.args.save_total_limit
        for old in store.checkpoints(folder)[:-limit] if limit and limit > 0 else []:
            shutil.rmtree(old)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # The stock method also pickles the training arguments.
        save_model(
            self.accelerator.unwrap_model(self.model, keep_torch_compile=False),
            self.tokenizer,
            Path(output_dir or self.args.output_dir),
        )

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: PreTrainedModel | None = None
    ) -> None:
        load_weights(model or self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            store.load_optimizer(self.optimizer, self.model, Path(checkpoint))
            self.lr_scheduler.load_state_dict(store.read_json(Path(checkpoint) / "scheduler.json"))

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(store.read_json(Path(checkpoint) / "scaler.json"))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        # Called right before the first resumed step, after the stock loop has set its loss sums to zero.
        if checkpoint is not None:
            store.load_rng_state(Path(checkpoint), self.args.process_index)
            progress = store.read_json(Path(checkpoint) / "progress.json")
            self._tr_loss = torch.tensor(progress["loss_since_log"], device=self.args.device)
            self._total_loss_scalar = progress["loss_logged"]
            self._globalstep_last_logged = progress["last_logged_step"]


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Model, its code and its tokenizer, as another machine loads them."""
    sparse, model.config.sparse_prediction = model.config.sparse_prediction, False
    model.save_pretrained(folder)
    model.config.sparse_prediction = sparse
    save_tokenizer(tokenizer, folder)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read a checkpoint's `model.safetensors` into `model`, in place; every tensor must be there.

    Not `from_pretrained`: a model that transformers 5.4 loaded is saved again under other tensor names.
    """
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
    return narrowed


def train_phase(
    model: PreTrainedModel,
    phase: Phase,
    args: Any,
    stream: RowStream,
    first_row: int,
    collator: MLMCollator,
    tokenizer: PreTrainedTokenizerFast,
    validation: Examples | None,
    callbacks: list[TrainerCallback],
) -> Path:
    """Train `phase` in `args.output_dir`, from its newest checkpoint where there is one.

    `model` ends with the phase's weights; gives back the phase's last checkpoint.
    """
    folder = Path(args.output_dir)
    rows_per_step = args.train_batch_size * args.gradient_accumulation_steps * max(args.world_size, 1)
    final = folder / f"checkpoint-{phase.steps}"
    if final.exists():
        load_weights(model, final)
        return final
    trainer = XPTTrainer(
        model=model,
        args=args,
        train_dataset=PhaseRows(stream, first_row, phase.steps * rows_per_step),
        data_collator=collator,
        tokenizer=tokenizer,
        validation=validation,
        callbacks=callbacks,
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    found = store.checkpoints(folder)
    set_seed(args.seed)
    trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
    trainer._save_checkpoint(trainer.model)
    return final
