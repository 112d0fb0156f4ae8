"""A recipe: everything that decides a run, as dataclasses read from YAML and flags alike.

Reasons for defaults stand in each field's help: "P21" is Lee et al. 2021, "RE22" the Korean relation
extraction report of 2022; "measured" means the repository holds the result.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from xpt.program.errors import XPTError
from xpt.program.options import check_trackers
from xpt.program.settings import changed_values
from xpt.recipe.corpus import CorpusArguments
from xpt.recipe.phases import PhaseArguments
from xpt.recipe.source import SourceArguments
from xpt.recipe.tokenizer import TokenizerArguments
from xpt.recipe.training import XPTTrainingArguments
from xpt.training.parts import Parts
from xpt.training.phases import Phase, check_origins, read_phase, share_schedules, trained_words
from xpt.training.rates import require_trained

# The method; what each leaves open is given by the flags of its name.
TWO_PHASES: tuple[dict[str, Any], ...] = (
    {"name": "phase1", "train": "new"},
    {"name": "phase2", "train": "all"},
)
FLAG_PHASES = ("phase1", "phase2")
FLAG_ENTRIES = ("steps", "learning_rate", "mlm_probability")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run of post-training (Lee et al. 2021), in typed parts with defaults.

    A recipe made here is checked as the command line checks one.

    Args:
        source: the English encoder, and what is built around it.
        corpus: text in the target language.
        tokenizer: the vocabulary of the target language.
        phases: the two phases, and the rows that they read.
        training: the optimizer, the run's folder, its log.
        phase_list: phases of your own instead of the two, a dictionary each, as `phases:` in a recipe's YAML.

    Raises:
        XPTError: an option that cannot be meant, a tracker that is not installed, a flag that no phase takes.

    Example:
        >>> recipe = xpt.Recipe(
        ...     source=xpt.SourceArguments("tiny-roberta"),
        ...     corpus=xpt.CorpusArguments("wiki.txt", language="ko"),
        ...     phases=xpt.PhaseArguments(phase1_steps=100, phase2_steps=200),
        ...     training=xpt.XPTTrainingArguments(output_dir="output/new", per_device_train_batch_size=8),
        ... )
        >>> [(phase.name, phase.steps) for phase in recipe.planned_phases()]
        [('phase1', 100), ('phase2', 200)]
        >>> recipe.settings()["learning_rate"]
        0.0001
    """

    source: SourceArguments = field(default_factory=SourceArguments)
    corpus: CorpusArguments = field(default_factory=CorpusArguments)
    tokenizer: TokenizerArguments = field(default_factory=TokenizerArguments)
    phases: PhaseArguments = field(default_factory=PhaseArguments)
    training: XPTTrainingArguments = field(default_factory=XPTTrainingArguments)
    phase_list: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        check_trackers(self.training)
        if self.phases.phases is not None:  # as a command line has them
            if self.phase_list is not None:
                raise XPTError("--phases and phase_list: give one of them")
            object.__setattr__(self, "phase_list", _read_phases(self.phases.phases))
            object.__setattr__(self, "phases", replace(self.phases, phases=None))
        self.refuse_idle_flags(changed_values(self.phases))

    def planned_phases(
        self, report: dict[str, Any] | None = None, objective: str | None = None
    ) -> list[Phase]:
        """The phases in order, for the model of a transplant's `report`; without, as far as they can be read.

        The LM-head transform learns in phase 1 where it is new, and stays frozen where it was copied.
        `objective` is how the source predicts, where it is open but there is no report yet. Raises `XPTError`
        for a phase that cannot train.
        """
        if self.phases.dropout is not None and not 0 <= self.phases.dropout < 1:
            raise XPTError(f"--dropout is {self.phases.dropout}; give a share from 0 to below 1")
        parts = Parts(objective=objective) if report is None else Parts.of_report(report)
        planned: list[Phase] = []
        words: list[str] = []
        for values in TWO_PHASES if self.phase_list is None else self.phase_list:
            defaults = self._phase_defaults(values.get("name"))
            if "steps" in values or defaults.get("steps") != 0:
                planned += read_phase(values, defaults, parts)
                words += trained_words(values)
        names = [phase.name for phase in planned]
        if not planned:
            raise XPTError("nothing to train: there is no phase of at least one step")
        if len(set(names)) < len(names):
            raise XPTError(f"phases: give each phase a name of its own; found {', '.join(names)}")
        for phase in planned[:-1]:
            if phase.lora and not phase.lora.merge:
                raise XPTError(
                    f"phase {phase.name!r} keeps its adapters (merge: false), so that no phase can follow; "
                    "merge them, or let it be the last one"
                )
        check_origins(planned)
        require_trained(self.phases.learning_rates or {}, words, parts, "all phases")
        return share_schedules(planned)

    def _phase_defaults(self, name: Any) -> dict[str, Any]:
        """What a phase of this name takes from flags where it says nothing itself."""
        training = self.training
        scheduler = getattr(training.lr_scheduler_type, "value", training.lr_scheduler_type)
        defaults = {
            "learning_rate": training.learning_rate,
            "warmup_steps": training.warmup_steps,
            "lr_scheduler_type": scheduler,
            "learning_rates": self.phases.learning_rates or {},
        }
        if flagged := flags_of(name):
            flags = {entry: getattr(self.phases, f"{flagged}_{entry}") for entry in FLAG_ENTRIES}
            defaults |= {entry: value for entry, value in flags.items() if value is not None}
        return defaults

    def refuse_idle_flags(self, given: Iterable[str]) -> None:
        """Raise `XPTError` where `given` names a flag that no phase takes."""
        for flag in self.idle_flags(given):
            phase, _, entry = flag.partition("_")
            raise XPTError(f"--{flag} has no effect: in `phases:` no {phase} leaves its {entry} to a flag")

    def idle_flags(self, given: Iterable[str]) -> list[str]:
        """Flags among `given` that no phase takes, because `phases:` says it itself or lacks the phase."""
        if self.phase_list is None:
            return []
        taken = {
            f"{flags_of(values.get('name'))}_{entry}"
            for values in self.phase_list
            for entry in FLAG_ENTRIES
            if entry not in values
        }
        flags = {f"{name}_{entry}" for name in FLAG_PHASES for entry in FLAG_ENTRIES}
        return sorted(flags.intersection(given) - taken)

    def settings(self) -> dict[str, Any]:
        """Every setting by name, in plain JSON types, secrets left out."""
        found: dict[str, Any] = {}
        for part in (self.source, self.corpus, self.tokenizer, self.phases):
            found |= {entry.name: getattr(part, entry.name) for entry in fields(part)}
        training = self.training.to_dict()
        found |= {name: value for name, value in training.items() if not name.endswith("_token")}
        found["phases"] = self.phase_list
        # Which rows a step reads depends on how many processes share it.
        found |= {"world_size": self.training.world_size, "n_gpu": self.training.n_gpu}
        return found

    def chosen_names(self) -> set[str]:
        """The names of the settings that are not the default's."""
        parts = (self.source, self.corpus, self.tokenizer, self.phases)
        return {name for part in parts for name in changed_values(part)} | set(self.training.chosen)


def flags_of(name: Any) -> str | None:
    """Of a phase's name that in whose flags what it leaves open is given: phase1 for phase1-above, too."""
    stem = str(name).partition("-")[0]
    return stem if stem in FLAG_PHASES else None


def _read_phases(text: str) -> list[dict[str, Any]]:
    try:
        phases = json.loads(text)
    except json.JSONDecodeError as error:
        raise XPTError(f"--phases is not JSON: {error}") from error
    if not isinstance(phases, list) or not all(isinstance(phase, dict) for phase in phases):
        raise XPTError("phases: give a list of phases, each with name, train, steps, learning_rate")
    return phases
