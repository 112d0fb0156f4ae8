"""One fine-tuning: a model, a task, a seed; from features to a folder with the best weights and their scores.

Started again, it goes on from its newest checkpoint; trained, it is only measured; finished, it is left.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, set_seed

from xpt.finetune.arguments import EVALUATIONS_PER_EPOCH, FineTuningArguments, ModelArguments
from xpt.finetune.backbone import Backbone
from xpt.finetune.lora import attach_adapters, describe_adapters
from xpt.finetune.output import plot_scores, write_predictions
from xpt.finetune.predict import answer
from xpt.finetune.report import render_report
from xpt.finetune.rows import ShuffledRows
from xpt.finetune.split import Split
from xpt.finetune.task import Task
from xpt.finetune.trainer import BEST, STAGE, FineTuner, Validation, best_step, evaluations, is_over, score
from xpt.finetune.weight_files import WeightFiles
from xpt.program.environment import describe_hardware, describe_versions
from xpt.program.files import replace_files
from xpt.program.interrupts import StopRequest
from xpt.program.precision import autocast_dtype, precision
from xpt.program.settings import changed_values
from xpt.run.folder import Run
from xpt.run.progress import PhaseProgress
from xpt.training.fast.path import fast_path
from xpt.training.training_state import read_json


class FineTuning:
    """One run of fine-tuning.

    Args:
        run: its folder.
        backbone: the opened model; the task's tokens are added to its tokenizer.
        weights: the files that it is read from.
        splits: train and validation.
        arguments: of training, narrowed to the task and seed.
    """

    def __init__(
        self,
        run: Run,
        task: Task,
        backbone: Backbone,
        weights: WeightFiles,
        splits: dict[str, Split],
        arguments: FineTuningArguments,
        model_arguments: ModelArguments,
        stop: StopRequest,
    ) -> None:
        self.run, self.task, self.backbone, self.weights = run, task, backbone, weights
        self.splits, self.arguments, self.stop = splits, arguments, stop
        self.model_arguments = model_arguments

    def prepare(self) -> None:
        """Make the model with its new head, and features of all examples."""
        arguments, task = self.arguments, self.task
        task.prepare(self.backbone.tokenizer)
        self.encoder = self.backbone.encoder_for(int(arguments.max_seq_length or 0))
        set_seed(arguments.seed)
        self.model: Any = task.build(self.backbone)
        self.parameters = sum(tensor.numel() for tensor in self.model.parameters())
        if self.model_arguments.lora:
            self.model = attach_adapters(self.model, self.backbone, self.model_arguments, arguments.seed)
        self.features = task.features(self.splits["train"].examples, self.encoder, training=True)
        self.validation = self._validation("validation")
        self.scored = self.validation if task.scored_on == "validation" else self._validation(task.scored_on)
        rows = len(self.features) * float(arguments.num_train_epochs or 0)
        self.steps = math.ceil(rows / arguments.rows_per_step)

    def _validation(self, split: str) -> Validation:
        examples = self.splits[split].examples
        return Validation(examples, self.task.features(examples, self.encoder, training=False))

    @property
    def patience(self) -> int:
        """Evaluations without a better score that are waited for; 0 for ever."""
        given = self.arguments.early_stopping_patience
        return self.task.patience if given is None else given

    def settings(self) -> dict[str, Any]:
        """Every setting that decides the result, by name, secrets left out."""
        training = {
            name: value for name, value in self.arguments.to_dict().items() if not name.endswith("_token")
        }
        model = asdict(self.model_arguments)
        return {
            **training,
            **model,
            "task": self.task.name,
            "task_options": asdict(self.task.options),
            "early_stopping_patience": self.patience,
            "world_size": self.arguments.world_size,
            "n_gpu": self.arguments.n_gpu,
        }

    def chosen_names(self) -> set[str]:
        """The names of the settings that are not the default's."""
        return {*changed_values(self.model_arguments), *self.arguments.chosen}

    def changed(self) -> dict[str, Any]:
        """Settings that are not those of the benchmark's scripts."""
        official = self.task.official_settings(self.backbone.hidden_size)
        own = {
            "learning_rate": official.learning_rate,
            "num_train_epochs": official.num_train_epochs,
            "rows_per_step": official.per_device_train_batch_size,
            "warmup_steps": official.warmup_ratio,
            "weight_decay": official.weight_decay,
            "max_seq_length": official.max_seq_length,
            "evaluations_per_epoch": EVALUATIONS_PER_EPOCH,
        }
        now = {name: getattr(self.arguments, name) for name in own}
        return {name: value for name, value in now.items() if value != own[name]}

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what is read."""
        return {
            "model": self.weights.sha256,
            **{name: split.sha256 for name, split in self.splits.items()},
        }

    # ---- stages ------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train to the end, or as far as patience goes; the model ends with the best weights."""
        rows = ShuffledRows(
            self.features,
            self.steps * self.arguments.rows_per_step,
            self.arguments.rows_per_step,
            self.arguments.seed,
            self.arguments.length_grouping,
        )
        trainer = self.trainer(rows)
        found = trainer.newest_step()
        scores = self.scores(found)
        if found < self.steps and not is_over(scores, self.patience):
            self._train_from(trainer, rows, found)
        trainer.read_model(self.run.checkpoints.path(BEST, trainer.best_step()))

    def _train_from(self, trainer: FineTuner, rows: ShuffledRows, step: int) -> None:
        size = self.arguments.rows_per_step

        def tokens_of(number: int) -> int:
            return rows.tokens((number - 1) * size, number * size)

        progress = PhaseProgress(self.run, STAGE, self.steps, tokens_of, score=trainer.score_name)
        trainer.add_callback(progress)
        spent, start = self.run.progress().get("training", {}).get("seconds", 0.0), time.perf_counter()
        try:
            path = fast_path(self.model, self.arguments.device, self.arguments.fast_path)
            with closing(progress), path:
                trainer.train_from(step)
        finally:  # stopped by a signal, its time counts too
            cost = {
                "seconds": round(spent + time.perf_counter() - start, 2),
                "tokens_per_second": progress.tokens_per_second,
                "peak_memory_mib": self.run.peak_memory_mib(),
            }
            self.run.record("training", cost)

    def finish(self, command: str, save: Callable[[PreTrainedModel, Path], None]) -> dict[str, Any]:
        """Score the best weights and write the folder; its results.

        `save` writes a model and what it needs into a folder.
        """
        self.model.to(self.arguments.device)
        start = time.perf_counter()
        answers = answer(
            self.model,
            self.task,
            self.scored.features,
            self.encoder,
            self.arguments.per_device_eval_batch_size,
            autocast_dtype(self.arguments),
            "Scoring the best step",
        )
        seconds = time.perf_counter() - start
        examples = self.scored.examples
        predictions = self.task.predictions(examples, self.scored.features, answers.outputs)
        official = score(self.task, examples, predictions)
        every = score(self.task, examples, predictions, variants=True)
        results = self._results(command, official, every, answers.loss, seconds)
        results |= self._around(predictions)
        if self.run.writes:
            with replace_files(self.run.folder) as staging:
                save(self.model, staging)
                write_predictions(predictions, staging / "predictions.jsonl")
                plot_scores(results, self.run.read_log(), staging / "scores.png")
                page = self._report(results, predictions, answers.confidences)
                (staging / "report.html").write_text(page, encoding="utf-8")
            self.run.finish(results)
        return results

    # ---- its parts ---------------------------------------------------------------------------------------

    def trainer(self, rows: ShuffledRows) -> FineTuner:
        """What trains the prepared model on `rows`."""
        return FineTuner(
            task=self.task,
            encoder=self.encoder,
            validation=self.validation,
            patience=self.patience,
            steps=self.steps,
            checkpoints=self.run.checkpoints,
            stop=self.stop,
            model=self.model,
            args=training_arguments(self.arguments, self.steps, self.run.stage_folder(STAGE)),
            train_dataset=rows,
        )

    def _report(
        self, results: dict[str, Any], predictions: Sequence[dict[str, Any]], confidences: Sequence[float]
    ) -> str:
        """The page of mistakes; of an example with several features the surest one counts."""
        examples, surest = self.scored.examples, [0.0] * len(self.scored.examples)
        for feature, confidence in zip(self.scored.features, confidences, strict=True):
            surest[feature.example] = max(surest[feature.example], confidence)
        judgments = [
            self.task.judge(example, line) for example, line in zip(examples, predictions, strict=True)
        ]
        names = [" ".join(map(str, example.key)) for example in examples]
        return render_report(results, names, judgments, surest)

    def scores(self, step: int) -> list[tuple[int, float]]:
        """Step and score of each evaluation up to a checkpoint's step."""
        if not step:
            return []
        state = read_json(self.run.checkpoints.path(STAGE, step) / "trainer_state.json")
        return evaluations(state["log_history"], f"eval_{self.task.selected_on}")

    def _results(
        self,
        command: str,
        official: dict[str, float],
        every: dict[str, float],
        loss: float | None,
        seconds: float,
    ) -> dict[str, Any]:
        log = [entry for entry in self.run.read_log() if f"eval_{self.task.selected_on}" in entry]
        scores = [(entry["step"], _number(entry[f"eval_{self.task.selected_on}"])) for entry in log]
        of_validation = bool(log) and self.task.scored_on == "validation"
        last = {name: log[-1][f"eval_{name}"] for name in official} if of_validation else {}
        training = self.run.progress().get("training", {})
        return {
            "kind": self.task.benchmark,
            "task": self.task.name,
            "reported_as": self.task.reported_as,
            "changed": self.changed(),
            "command": command,
            "seed": self.arguments.seed,
            "versions": describe_versions(),
            "hardware": describe_hardware(),
            "precision": precision(self.arguments),
            "model": self._describe_model(),
            "data": {name: split.describe() for name, split in self.splits.items()},
            "metrics": {name: _null(value) for name, value in official.items()},
            "variants": {name: _null(value) for name, value in every.items() if name not in official},
            "last_metrics": last,  # of the last step: nothing was chosen by them
            "eval_loss": loss,
            "steps": self.steps,
            "best_step": best_step(scores),
            "scores": [[step, _null(value)] for step, value in scores],
            "tokens_per_second": training.get("tokens_per_second"),
            "seconds": {"training": training.get("seconds"), "scoring": round(seconds, 2)},
            "peak_memory_mib": training.get("peak_memory_mib"),
            "settings": self.settings(),
        }

    def _around(self, predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What stands beside the scores, where the task has it: which split, baselines and intervals."""
        task = self.task
        beside: dict[str, Any] = {}
        if task.scored_on != "validation":
            beside["scored_on"] = task.scored_on
        baselines = task.baselines(self.scored.examples)
        if baselines:
            beside["baselines"] = baselines
            beside["intervals"] = task.intervals(self.scored.examples, predictions)
        return beside

    def _describe_model(self) -> dict[str, Any]:
        learned = sum(tensor.numel() for tensor in self.model.parameters() if tensor.requires_grad)
        name = self.backbone.name
        return {
            "name": name if self.weights.commit else Path(name).resolve().name,
            "revision": self.weights.commit,
            "sha256": self.weights.sha256,
            "pickled": self.weights.pickled,
            "family": self.backbone.config.model_type,
            "kind": str(self.backbone.kind),
            "parameters": self.parameters,
            "trained_parameters": learned,
            "lora": describe_adapters(self.model),
            "max_seq_length": self.encoder.max_length,
        }


def training_arguments(arguments: FineTuningArguments, steps: int, folder: Path) -> FineTuningArguments:
    """The arguments as the Trainer takes them: what it would save, load or score by itself is off."""
    arguments = copy.deepcopy(arguments)
    arguments.output_dir = str(folder)
    arguments.max_steps = steps
    arguments.remove_unused_columns = False  # rows are no dictionaries
    arguments.save_strategy = arguments.eval_strategy = "no"  # ScoreWithinEpochs says when
    arguments.push_to_hub = False
    if arguments.ddp_find_unused_parameters is None:
        arguments.ddp_find_unused_parameters = True  # a pooler that a head does not use
    return arguments


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value
