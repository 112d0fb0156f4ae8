"""Named parameter groups, and the phases that say which of them train.

Phase 1 of the method trains what is new (word embeddings with the tied output, both ITLs, the output bias)
while the English layers are frozen; phase 2 trains everything (Lee et al. 2021). A recipe may list any other
phases in the same words; `new`, `encoder.top2` and `unfreeze` stand for groups that depend on the model, and
are read into them here.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import accumulate, pairwise
from typing import Any

from transformers import SchedulerType

from xpt.program.errors import XPTError
from xpt.text.masking import MaskSchedule
from xpt.text.packing import TARGET
from xpt.text.reading import TO_TARGET
from xpt.training.adapters import LoraSettings, truth, whole_number
from xpt.training.along import FLAT_SCHEDULES, Until
from xpt.training.objective import CLM, OBJECTIVE_ENTRIES, check_objective, objective_for, turns_of
from xpt.training.parts import ADAPTERS, Parts, check_group, learns
from xpt.training.rates import SharedSchedule, read_factors, require_trained
from xpt.training.starting import INITIAL, StartFrom

RESERVED_NAMES = (INITIAL, "kept", "before", "seconds", "transplant")
# From which end `unfreeze` lets layers learn, and what lies beyond that end.
DIRECTIONS = {"top_down": ("top", "lm_head_transform"), "bottom_up": ("bottom", "source_embeddings")}
# What a phase takes from the one whose schedule it goes on with.
OF_A_SCHEDULE = ("warmup_steps", "lr_scheduler_type")
# Entries that a record has only where they say something.
SELDOM: dict[str, Any] = {
    "start_from": None,
    "lora": None,
    "until": None,
    "learning_rates": {},
    "rewarm": True,
    "objective": "mlm",
    "direction": TO_TARGET,
    "languages": TARGET,
    "mixture": {},
}


def _direction(value: Any) -> str:
    if value not in DIRECTIONS:
        raise ValueError(f"unfreeze is {value!r}; give {' or '.join(DIRECTIONS)}")
    return str(value)


def _shares(value: Any) -> float | tuple[float, float]:
    """One share, or the first and the last."""
    if not isinstance(value, list | tuple):
        return float(value)
    shares = [float(share) for share in value]
    if len(shares) == 2:
        return shares[0], shares[1]
    if len(shares) == 1:
        return shares[0]
    raise ValueError(f"mlm_probability is {value!r}; give one share, or the first and the last")


# How each entry of a phase is read; YAML gives 1e-4 as text.
PHASE_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "train": lambda groups: (groups,) if isinstance(groups, str) else tuple(map(str, groups)),
    "steps": whole_number,
    "learning_rate": float,
    "warmup_steps": float,
    "lr_scheduler_type": lambda kind: SchedulerType(kind).value,
    "mlm_probability": _shares,
    "learning_rates": read_factors,
    "rewarm": truth,
    "start_from": StartFrom.read,
    **OBJECTIVE_ENTRIES,
    "unfreeze": _direction,
    "lora": LoraSettings.from_dict,
    "until": Until.from_dict,
}


@dataclass(frozen=True)
class Phase:
    """One stage of training: which groups learn, for how many optimizer steps, and how.

    Args:
        mlm_probability: share of masked tokens, or the first and the last of a schedule.
        learning_rates: factors of the rate, by group.
        rewarm: whether it has a schedule and an optimizer of its own.
        objective: what is predicted: masked tokens (mlm), translations (cdlm), or both in one batch; by a
            decoder each token from those before it (clm).
        direction: of translations; languages: of the masked text; mixture: rows of each objective by turns.
        start_from: other weights to start from than those of the phase before.
        schedule: the one that it shares with other phases, or None.
    """

    name: str
    train: tuple[str, ...]
    steps: int
    learning_rate: float
    warmup_steps: float = 0.06
    lr_scheduler_type: str = "linear"
    mlm_probability: float | tuple[float, float] = 0.15
    learning_rates: dict[str, float] = field(default_factory=dict)
    rewarm: bool = True
    objective: str = "mlm"
    direction: str = TO_TARGET
    languages: str = TARGET
    mixture: dict[str, int] = field(default_factory=dict)
    start_from: StartFrom | None = None
    lora: LoraSettings | None = None
    until: Until | None = None  # `steps` are then the most
    schedule: SharedSchedule | None = None

    @property
    def masking(self) -> float | MaskSchedule:
        """The share of masked tokens, as a collator takes it."""
        share = self.mlm_probability
        return MaskSchedule(*share, self.steps) if isinstance(share, tuple) else share

    @property
    def turns(self) -> tuple[str, ...]:
        """The streams that its rows are of, by turns."""
        return turns_of(self.objective, self.direction, self.languages, self.mixture)

    def check(self) -> None:
        """Raise `XPTError` for numbers that cannot train."""
        where = f"phase {self.name!r}"
        if not re.fullmatch(r"[\w-]+", self.name):
            raise XPTError(f"{where}: a phase's name is made of letters, digits, '-' and '_'")
        if self.name in RESERVED_NAMES:
            raise XPTError(f"{where}: the name is taken by another part of a run; give another")
        if not self.train:
            raise XPTError(f"{where}: train is empty; name at least one parameter group")
        if self.steps < 1:
            raise XPTError(f"{where}: steps is {self.steps}; give at least 1, or leave the phase out")
        shares = self.mlm_probability
        for share in shares if isinstance(shares, tuple) else (shares,):
            if not 0 < share < 1:
                raise XPTError(f"{where}: mlm_probability is {share}; give a share between 0 and 1")
        if not 0 < self.learning_rate < math.inf:
            raise XPTError(f"{where}: learning_rate is {self.learning_rate}; give a positive number")
        if self.until and self.lr_scheduler_type not in FLAT_SCHEDULES:
            raise XPTError(
                f"{where}: until needs a rate that does not fall with its steps, and lr_scheduler_type is "
                f"{self.lr_scheduler_type}; give constant_with_warmup"
            )
        if self.until and isinstance(shares, tuple):
            raise XPTError(
                f"{where}: until leaves open when it ends, so that its masks have no last share; give one "
                "mlm_probability"
            )
        check_objective(self.objective, self.direction, self.languages, self.mixture, where)
        for group in self.train:
            check_group(group, where)
        self._check_adapters(where)

    def _check_adapters(self, where: str) -> None:
        if self.lora is None:
            if ADAPTERS in self.train:
                raise XPTError(f"{where}: it trains lora but has none; give it some, such as lora: {{r: 8}}")
            return
        if ADAPTERS not in self.train:
            raise XPTError(f"{where}: its adapters would not learn; name lora in train")
        for group in self.train:
            if group == "all" or group.split(".")[0] == "encoder":
                raise XPTError(
                    f"{where}: {group!r} holds the weights that lora leaves frozen; name lora and the groups "
                    "that learn beside it"
                )

    def to_dict(self) -> dict[str, Any]:
        """For records: plain JSON types; what few phases have only where they have it."""
        record = {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.name != "schedule"}
        record["train"] = list(self.train)
        for name in ("lora", "until"):
            record[name] = record[name] and record[name].to_dict()
        record["start_from"] = self.start_from and self.start_from.to_record()
        if isinstance(self.mlm_probability, tuple):
            record["mlm_probability"] = list(self.mlm_probability)
        if self.objective == CLM:  # which masks nothing
            del record["mlm_probability"]
        return {name: value for name, value in record.items() if name not in SELDOM or value != SELDOM[name]}


def read_phase(values: dict[str, Any], defaults: dict[str, Any], parts: Parts) -> list[Phase]:
    """A phase as a recipe writes it; with `unfreeze` it becomes several.

    Raises `XPTError` for a wrong, missing or unknown entry.
    """
    unknown = sorted(set(values) - set(PHASE_ENTRIES))
    if unknown:
        raise XPTError(f"phases: unknown entry {unknown[0]!r}; a phase has {', '.join(PHASE_ENTRIES)}")
    merged = {**defaults, **values}
    missing = [entry for entry in ("name", "train", "steps", "learning_rate") if entry not in merged]
    if missing:
        raise XPTError(f"phases: phase {merged.get('name', '?')!r} lacks {missing[0]!r}")
    where = f"phase {merged['name']!r}"
    try:
        read = {entry: PHASE_ENTRIES[entry](value) for entry, value in merged.items()}
        common = read_factors(defaults.get("learning_rates") or {})
    except (TypeError, ValueError) as error:
        raise XPTError(f"phases: {where}: {error}") from error
    read["objective"] = objective_for(read.get("objective"), parts.objective, where)
    direction = read.pop("unfreeze", None)
    factors = parts.by_group(common, f"{where}: learning_rates")
    if "learning_rates" in values:
        require_trained(read["learning_rates"], trained_words(values), parts, where)
        factors |= parts.by_group(read["learning_rates"], f"{where}: learning_rates")
    if not read.get("rewarm", True):
        for entry in (*OF_A_SCHEDULE, "start_from"):
            if entry in values:
                raise XPTError(f"{where}: {entry} contradicts rewarm: false; leave one of them out")
    if start := read.get("start_from"):
        read["start_from"] = start.settled(parts, where)
    phase = Phase(**{**read, "learning_rates": factors})
    planned = [phase] if direction is None else _unfrozen(phase, direction, parts)
    planned = [_settled(one, parts) for one in planned]
    for one in planned:
        one.check()
    return planned


def trained_words(values: dict[str, Any]) -> tuple[str, ...]:
    """Which groups a phase, as a recipe writes it, names for training in any of its stages."""
    return (*PHASE_ENTRIES["train"](values["train"]), *(("all",) if "unfreeze" in values else ()))


def _settled(phase: Phase, parts: Parts) -> Phase:
    """The phase with groups of the model, and of the factors those that something trained has."""
    train = parts.groups(phase.train)
    rates = {
        group: factor
        for group, factor in phase.learning_rates.items()
        if any(learns(group, one) for one in train)
    }
    return replace(phase, train=train, learning_rates=rates)


def share_schedules(phases: Sequence[Phase]) -> list[Phase]:
    """A phase with `rewarm: false` goes on with the schedule of the one before; the first has none to."""
    chains: list[list[Phase]] = []
    for phase in phases:
        if phase.rewarm or not chains:
            chains.append([replace(phase, rewarm=True)])
        else:
            chains[-1].append(phase)
    return [phase for chain in chains for phase in (chain if len(chain) == 1 else _sharing(chain))]


def check_origins(phases: Sequence[Phase]) -> None:
    """Raise `XPTError` where a phase starts from one that has not ended before it, or from its adapters."""
    before: dict[str, Phase] = {}
    for phase in phases:
        for name in phase.start_from.phases if phase.start_from else ():
            where = f"phase {phase.name!r}: start_from names {name!r}"
            if name not in before:
                raise XPTError(f"{where}, which is no phase before it; give {', '.join([INITIAL, *before])}")
            if before[name].lora:
                raise XPTError(f"{where}, which trains adapters; start from another phase")
        before[phase.name] = phase


def _sharing(chain: Sequence[Phase]) -> list[Phase]:
    for phase, after in pairwise(chain):
        if phase.until:
            raise XPTError(
                f"phase {after.name!r}: rewarm: false goes on with a schedule of known steps, which until of "
                f"phase {phase.name!r} leaves open; leave one of them out"
            )
    ends = list(accumulate(phase.steps for phase in chain))
    before = [None, *((phase.name, phase.steps) for phase in chain)]
    first = {entry: getattr(chain[0], entry) for entry in OF_A_SCHEDULE}
    return [
        replace(phase, **first, schedule=SharedSchedule(end - phase.steps, ends[-1], earlier))
        for phase, end, earlier in zip(chain, ends, before, strict=False)
    ]


def _unfrozen(phase: Phase, direction: str, parts: Parts) -> list[Phase]:
    """A phase for each encoder layer: one more of them learns in each, and in the last one everything."""
    end, beyond = DIRECTIONS[direction]
    count = parts.layers or 1
    if phase.steps < count:
        raise XPTError(
            f"phase {phase.name!r}: steps is {phase.steps}; unfreezing {count} layers takes at least one each"
        )
    share, rest = divmod(phase.steps, count)
    stages = []
    for number in range(1, count + 1):
        train = (*phase.train, beyond, f"encoder.{end}{number}") if number < count else ("all",)
        steps = share + (number > count - rest)  # what does not divide goes to the last ones
        start = phase.start_from if number == 1 else None
        name = f"{phase.name}-{number}"
        stages.append(replace(phase, name=name, train=train, steps=steps, start_from=start))
    return stages
