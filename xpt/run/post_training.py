"""The stages of a run after preparation: step 0, each phase, the test; each is recorded when it is done.

Started again, a run finds the recorded stages and goes on from the newest checkpoint of the next one.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from xpt.program.environment import describe_hardware, describe_versions
from xpt.program.files import replace_files, write_folder_atomically
from xpt.program.interrupts import StopRequest
from xpt.program.manifest import DamagedError, set_aside_damaged, verify, write_manifest
from xpt.program.precision import autocast_dtype, precision
from xpt.program.processes import told_by_first
from xpt.recipe.recipe import Recipe
from xpt.run.branches import origin_folders, wanted_phases
from xpt.run.description import describe_text
from xpt.run.folder import Run
from xpt.run.plots import Curve, plot_loss
from xpt.run.preparation import PreparedText
from xpt.run.progress import PhaseProgress
from xpt.run.shown import Shown
from xpt.run.summary import announcement, stage_line
from xpt.text.causal import CausalCollator
from xpt.text.masking import MaskSchedule, MLMCollator
from xpt.text.packing import TARGET
from xpt.text.pair_batches import Collate
from xpt.text.reading import Reading, readings
from xpt.text.word_marks import word_starts
from xpt.training.adapters import attach_adapters, has_adapters, merge_adapters, remove_adapters
from xpt.training.along import kept_steps
from xpt.training.evaluation import MLMEvaluation, evaluate_mlm
from xpt.training.fast.path import fast_path
from xpt.training.phases import Phase
from xpt.training.rates import require_held
from xpt.training.resumable import require_converging
from xpt.training.trainable import group_sizes, set_trainable, training_dropout
from xpt.training.trainer import PhaseData, load_weights, phase_arguments, save_model, train_phase
from xpt.training.training_state import estimated_bytes
from xpt.transplant.architectures import CLM, architecture_of, is_causal
from xpt.transplant.parameter_groups import ADAPTER_FOLDER

BY_HAND = "xpt.PostTraining"  # what results note where nobody says what was typed


def load_initial(run: Run) -> tuple[PreTrainedModel, dict[str, Any]] | None:
    """The model at step 0 and its transplant report, where an earlier start has left them undamaged."""
    report = run.progress().get("transplant")
    if report is None or not run.initial.exists():
        return None
    try:
        verify(run.initial)
    except DamagedError as damage:
        if run.writes:
            print(f"{run.initial} is damaged: {damage}; making it anew", file=sys.stderr)
        return None
    raw = json.loads((run.initial / "config.json").read_text(encoding="utf-8"))
    kind = architecture_of(raw["model_type"])
    model = kind.model(kind.config.from_pretrained(run.initial))
    load_weights(model, run.initial)
    return model, report


class PostTraining:
    """One run: its model, text and phases, and the stages to take them through.

    `post_train` does all of this; here are the stages for who wants to look, or to do something, in between.

    Args:
        recipe: of which the rows, the evaluation and the log are taken.
        run: its open folder.
        model: at step 0; it is trained in place.
        report: of the transplant.
        text: what is read.
        phases: in order; the recipe's where they are not given.
        stop: whether a signal asked to stop; None where nobody listens to signals.

    Raises:
        XPTError: a phase that the model cannot be trained in.

    Example:
        >>> recipe, source = xpt.read_recipe("tiny.yaml"), xpt.open_source("tiny-roberta")
        >>> text = xpt.prepare_text(recipe, source)
        >>> model, report = xpt.prepare_model(recipe, source, text)
        >>> with xpt.Run("output/staged") as run:
        ...     run.start(recipe.settings(), text.fingerprints)
        ...     training = xpt.PostTraining(recipe, run, model, report, text)
        ...     training.start()
        ...     for index in range(len(training.phases)):
        ...         training.run_phase(index)
        ...     training.finish(source.describe())
        >>> [phase["name"] for phase in run.results()["phases"]]
        ['phase1', 'phase2']
    """

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        model: PreTrainedModel,
        report: dict[str, Any],
        text: PreparedText,
        phases: list[Phase] | None = None,
        stop: StopRequest | None = None,
    ):
        self.recipe, self.run, self.model, self.report = recipe, run, model, report
        self.stop = stop or StopRequest()
        if not is_causal(model.config):
            model.config.sparse_prediction = True
        self.text = text
        self.phases = recipe.planned_phases(report) if phases is None else list(phases)
        for phase in self.phases:  # what the model lacks is found before anything is written
            self.prepare(phase)
            remove_adapters(model)
        arguments, training = recipe.phases, recipe.training
        self.streams = text.streams(arguments.packing, training.seed)
        self.rows_per_step = training.rows_per_step
        self.word_starts = word_starts(text.tokenizer) if arguments.whole_word_masking else None
        self.shown = Shown(text, training.num_fills, arguments.max_seq_length)

    # ---- stages ------------------------------------------------------------------------------------------

    def start(self, preparation_seconds: float = 0.0) -> None:
        """Keep the model at step 0 and measure it."""
        self.run.record("seconds", {"prepare": round(preparation_seconds, 2), **self._seconds()})
        if self.run.writes:
            set_aside_damaged(self.run.initial)
            if not self.run.initial.exists():
                models = 2 * sum(
                    tensor.nbytes for tensor in self.model.parameters()
                )  # step 0, and the result
                self.run.checkpoints.require_space(estimated_bytes(self.model), 2, others=models)
                with write_folder_atomically(self.run.initial) as staging:
                    save_model(self.model, self.text.tokenizer, staging)
                    write_manifest(staging, {"step": 0})
        self.run.record("transplant", self.report)
        if self.run.writes:
            print(
                announcement(self.recipe, self.text, self.report, self.phases, self.rows_per_step), flush=True
            )
        self.model.to(self.recipe.training.device)
        if "before" not in self.run.progress():
            scored = self._evaluate("validation", "Evaluating step 0")
            self.run.record("before", {**scored.record(), "fills": self.shown.of(self.model)})
            self._say("step 0", scored)

    def run_phase(self, index: int) -> None:
        """Train one phase and measure it; of what an earlier start finished only the weights are loaded."""
        phase = self.phases[index]
        if passed := self._passed(index):
            self.phases[index] = replace(phase, steps=passed)
            return
        trained = self.prepare(phase)
        data = self.phase_data(index)
        later_steps = sum(later.steps for later in self.phases[index + 1 :])

        def tokens_of(step: int) -> int:
            return data.reading.tokens((step - 1) * self.rows_per_step, step * self.rows_per_step)

        progress = PhaseProgress(self.run, phase.name, phase.steps, tokens_of, later_steps)
        with (
            self.training_conditions(),
            self._timed(phase.name),
            closing(progress),
        ):
            end = train_phase(
                self.model,
                phase,
                phase_arguments(self.recipe.training, phase, index, self.run.stage_folder(phase.name)),
                data,
                self.run.checkpoints,
                self.stop,
                [progress],
                self._kept(index),
                origin_folders(self.run, self.phases),
            )
        most, phase = phase.steps, replace(phase, steps=end)
        self.phases[index] = phase
        if phase.lora and phase.lora.merge:
            merge_adapters(self.model)
        if phase.name in self.run.progress():
            return
        scored = self._evaluate("validation", f"Evaluating {phase.name}")
        require_converging(scored.loss, f"the end of {phase.name}")
        result = {
            **phase.to_dict(),
            "tokens": data.reading.tokens(0, phase.steps * self.rows_per_step),
            "tokens_per_second": progress.tokens_per_second,
            **({"most_steps": most} if phase.until else {}),
            "trained_tensors": len(trained),
            "trainable_parameters": sum(trained.values()),
            **scored.record(),
        }
        self.run.record(phase.name, result)
        self._say(phase.name, scored)

    def prepare(self, phase: Phase) -> dict[str, int]:
        """Give the model the phase's adapters, let its groups learn; names and sizes of what is trained."""
        if phase.lora:
            # Seeded by the phase's name too, so that a second one does not start where the first did.
            attach_adapters(self.model, phase.lora, self.recipe.training.seed, phase.name)
        trained = set(set_trainable(self.model, phase.train))
        require_held(phase.learning_rates, trained, f"phase {phase.name!r}", self.model.config)
        return {name: tensor.numel() for name, tensor in self.model.named_parameters() if name in trained}

    @contextmanager
    def training_conditions(self) -> Iterator[None]:
        """While open, the model computes as in training: which layers drop activations, by which path."""
        training, phases = self.recipe.training, self.recipe.phases
        dropout = training_dropout(self.model, phases.dropout, phases.frozen_dropout)
        with dropout, fast_path(self.model, training.device, training.fast_path):
            yield

    def phase_data(self, index: int, masking: float | MaskSchedule | None = None) -> PhaseData:
        """What a phase reads; with other masks where `masking` is given."""
        phase = self.phases[index]
        collator: Any = CausalCollator(self.text.train, self.recipe.phases.packing)
        if phase.objective != CLM:
            collator = self._masking_collator(phase, masking)
        return PhaseData(self.reading(index), collator, self.text.tokenizer, self.text.held_out["validation"])

    def _masking_collator(self, phase: Phase, masking: float | MaskSchedule | None) -> Collate:
        own = MLMCollator(
            self.text.train,
            phase.masking if masking is None else masking,
            self.recipe.training.seed,
            self.recipe.phases.packing,
            self.word_starts,
            0 if architecture_of(self.model.config.model_type).layout.is_rotary else None,
        )
        others = self.text.bilingual if set(phase.turns) != {TARGET} else None
        return others.collator(own, set(phase.turns)) if others else own

    def reading(self, index: int) -> Reading:
        """The rows of a phase."""
        phases = [(phase.turns, phase.steps * self.rows_per_step) for phase in self.phases]
        return readings(phases, self.streams)[index]

    def _kept(self, index: int) -> dict[int, Path]:
        """Of the phase's steps after which the model is kept, the folder, named by the step of the run."""
        first = sum(earlier.steps for earlier in self.phases[:index])
        last = first + self.phases[index].steps
        shares = self.recipe.training.keep_at or ()
        steps = kept_steps(shares, sum(phase.steps for phase in self.phases))
        return {step - first: self.run.kept(step) for step in steps if first < step <= last}

    def _passed(self, index: int) -> int:
        """The steps of a phase that is measured and whose weights nothing is to start from; else 0."""
        if not self.run.writes:
            return told_by_first(0, self.recipe.training.device)
        steps = self.run.progress().get(self.phases[index].name, {}).get("steps", 0)
        wanted = self.phases[index].name in wanted_phases(self.run, self.phases)
        return told_by_first(0 if wanted else steps, self.recipe.training.device)

    def finish(
        self,
        source: dict[str, Any],
        command: str | None = None,
        write_card: Callable[[dict[str, Any], str], str] | None = None,
    ) -> None:
        """Measure the test split and write the run folder: model, card, picture and, last, the results.

        Args:
            source: what `results.json` says of it; command: what was typed.
            write_card: gives the card's text from results and the folder's name; without, there is no card.
        """
        scored = self._evaluate("test", "Evaluating the test split")
        after = self.shown.of(self.model)
        if not self.run.writes:
            return
        results = self._results(source, command or BY_HAND, scored, after)
        curve = Curve("XPT", self.run.read_log(), results)
        card = write_card(results, self.run.folder.name) if write_card else None
        with replace_files(self.run.folder) as staging:
            save_model(self.model, self.text.tokenizer, staging)
            plot_loss([curve], staging / "loss.png", f"Post-training of {source['name']}")
            if card is not None:
                (staging / "README.md").write_text(card, encoding="utf-8")
        self.run.finish(results)

    # ---- measuring ---------------------------------------------------------------------------------------

    def _evaluate(self, split: str, description: str) -> MLMEvaluation:
        with self._timed(f"evaluate {split}"):
            return evaluate_mlm(
                self.model,
                self.text.held_out[split],
                self.text.log_probs,
                shuffled_context=True,
                autocast_dtype=autocast_dtype(self.recipe.training),
                description=description,
            )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds = self._seconds()
        seconds[stage] = round(seconds.get(stage, 0.0) + time.perf_counter() - start, 2)
        self.run.record("seconds", seconds)

    def _seconds(self) -> dict[str, float]:
        return self.run.progress().get("seconds", {})

    def _say(self, stage: str, scored: MLMEvaluation) -> None:
        if self.run.writes:
            print(stage_line(stage, scored), flush=True)

    def _results(
        self, source: dict[str, Any], command: str, scored: MLMEvaluation, after: list
    ) -> dict[str, Any]:
        progress = self.run.progress()
        before = progress["before"]
        return {
            "command": command,
            "seed": self.recipe.training.seed,
            "versions": describe_versions(),
            "hardware": describe_hardware(),
            "precision": precision(self.recipe.training),
            "source": source,
            "transplant": self.report,
            **describe_text(self.recipe, self.text),
            "parameters": group_sizes(self.model),
            "adapter": ADAPTER_FOLDER if has_adapters(self.model) else None,
            "before": {key: value for key, value in before.items() if key != "fills"},
            "phases": [progress[phase.name] for phase in self.phases],
            "unigram_loss": scored.unigram_loss,
            "shuffled_context_loss": scored.shuffled_context_loss,
            "test": {
                "loss": scored.loss,
                "perplexity": scored.perplexity,
                "masked_tokens": scored.masked_tokens,
            },
            **self.shown.record(before["fills"], after),
            "seconds": progress["seconds"],
            "peak_memory_mib": self.run.peak_memory_mib(),
            "settings": self.recipe.settings(),
        }
