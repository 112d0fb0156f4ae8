"""Named parameter groups, and the phases that say which of them train.

Phase 1 of the method trains what is new (word embeddings with the tied output, both ITLs, the output bias)
while the English layers are frozen; phase 2 trains everything (Lee et al. 2021). A recipe may list any other
phases in the same words; `new`, `encoder.top2` and `unfreeze` stand for groups that depend on the model, and
are read into them here.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn
from transformers import SchedulerType

from xpt.program.errors import XPTError
from xpt.training.adapters import LoraSettings, whole_number
from xpt.training.along import FLAT_SCHEDULES, Until
from xpt.transplant.parameter_groups import GROUPS, parameter_group

NEW_GROUPS = ("word_embeddings", "itl", "lm_head_bias")
ADAPTERS = "lora"  # a group where a phase has adapters
RESERVED_NAMES = ("initial", "before", "seconds", "transplant")
# From which end `unfreeze` lets layers learn, and what lies beyond that end.
DIRECTIONS = {"top_down": ("top", "lm_head_transform"), "bottom_up": ("bottom", "source_embeddings")}
END_LAYERS = re.compile(r"encoder\.(top|bottom)([1-9]\d*)")


def _direction(value: Any) -> str:
    if value not in DIRECTIONS:
        raise ValueError(f"unfreeze is {value!r}; give {' or '.join(DIRECTIONS)}")
    return str(value)


# How each entry of a phase is read; YAML gives 1e-4 as text.
PHASE_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "train": lambda groups: (groups,) if isinstance(groups, str) else tuple(map(str, groups)),
    "steps": whole_number,
    "learning_rate": float,
    "warmup_steps": float,
    "lr_scheduler_type": lambda kind: SchedulerType(kind).value,
    "mlm_probability": float,
    "unfreeze": _direction,
    "lora": LoraSettings.from_dict,
    "until": Until.from_dict,
}


@dataclass(frozen=True)
class Phase:
    """One stage of training: which groups learn, for how many optimizer steps, and how."""

    name: str
    train: tuple[str, ...]
    steps: int
    learning_rate: float
    warmup_steps: float = 0.06
    lr_scheduler_type: str = "linear"
    mlm_probability: float = 0.15
    lora: LoraSettings | None = None
    until: Until | None = None  # `steps` are then the most

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
        if not 0 < self.mlm_probability < 1:
            raise XPTError(
                f"{where}: mlm_probability is {self.mlm_probability}; give a share between 0 and 1"
            )
        if not 0 < self.learning_rate < math.inf:
            raise XPTError(f"{where}: learning_rate is {self.learning_rate}; give a positive number")
        if self.until and self.lr_scheduler_type not in FLAT_SCHEDULES:
            raise XPTError(
                f"{where}: until needs a rate that does not fall with its steps, and lr_scheduler_type is "
                f"{self.lr_scheduler_type}; give constant_with_warmup"
            )
        for group in self.train:
            if group not in ("all", ADAPTERS) and group.split(".")[0] not in GROUPS:
                raise XPTError(
                    f"{where}: unknown parameter group {group!r}; groups are all, new, {', '.join(GROUPS)}, "
                    "itl.in, itl.out, encoder.0, encoder.1, ..., encoder.top2, encoder.bottom2, lora"
                )
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
        """For records: plain JSON types; adapters and an early end only where there are some."""
        record = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        record["train"] = list(self.train)
        for name in ("lora", "until"):
            part = record.pop(name)
            record |= {name: part.to_dict()} if part else {}
        return record


@dataclass(frozen=True)
class Parts:
    """What the words of a phase stand for in one model.

    Args:
        new: the groups that `new` means.
        layers: encoder layers; None before the source is known, when their words are left as they are.
    """

    new: tuple[str, ...] = NEW_GROUPS
    layers: int | None = None

    @classmethod
    def of_report(cls, report: dict[str, Any]) -> "Parts":
        """From a transplant's report: the new parts that there are, and whatever else was not copied."""
        counts = {group: kinds for group, kinds in report["groups"].items() if sum(kinds.values())}
        new = tuple(group for group, kinds in counts.items() if group in NEW_GROUPS or not kinds["copied"])
        return cls(("all",) if len(new) == len(counts) else new, report["layers"])

    def groups(self, train: Sequence[str]) -> tuple[str, ...]:
        """`train` in groups of the model, each once. Raises `XPTError` for more layers than there are."""
        found: list[str] = []
        for group in train:
            ends = END_LAYERS.fullmatch(group)
            if group == "new":
                found += self.new
            elif ends and self.layers is not None:
                found += self._end_layers(group, ends[1], int(ends[2]))
            else:
                found.append(group)
        return tuple(dict.fromkeys(found))

    def _end_layers(self, group: str, end: str, count: int) -> list[str]:
        layers = self.layers or 0
        if count > layers:
            raise XPTError(f"parameter group {group!r}: the model has {layers} encoder layers")
        chosen = range(layers - count, layers) if end == "top" else range(count)
        return [f"encoder.{layer}" for layer in chosen]


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
    try:
        read = {entry: PHASE_ENTRIES[entry](value) for entry, value in merged.items()}
    except (TypeError, ValueError) as error:
        raise XPTError(f"phases: phase {merged['name']!r}: {error}") from error
    direction = read.pop("unfreeze", None)
    phase = Phase(**read)
    planned = [phase] if direction is None else _unfrozen(phase, direction, parts)
    planned = [replace(one, train=parts.groups(one.train)) for one in planned]
    for one in planned:
        one.check()
    return planned


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
        stages.append(replace(phase, name=f"{phase.name}-{number}", train=train, steps=steps))
    return stages


def group_sizes(model: nn.Module) -> dict[str, int]:
    """Parameters of each of `GROUPS`, and of adapters where there are some; tied tensors count once."""
    sizes = dict.fromkeys(GROUPS, 0)
    for name, parameter in model.named_parameters():
        group = parameter_group(name).split(".")[0]
        sizes[group] = sizes.get(group, 0) + parameter.numel()
    return sizes


def set_trainable(model: nn.Module, train: Sequence[str]) -> list[str]:
    """Let exactly the named groups learn; give back the names of the trained parameters, in model order.

    Raises `XPTError` where a group has no parameter in this model.
    """
    names = [name for name, _ in model.named_parameters()]
    for group in train:
        if not any(_belongs(name, group) for name in names):
            raise XPTError(f"parameter group {group!r} is empty in this model; leave it out of the phase")
    trained = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(_belongs(name, group) for group in train))
        if parameter.requires_grad:
            trained.append(name)
    return trained


def _belongs(name: str, group: str) -> bool:
    return group == "all" or f"{parameter_group(name)}.".startswith(f"{group}.")


@contextmanager
def training_dropout(model: nn.Module, p: float | None = None, frozen: bool = True) -> Iterator[None]:
    """While open, the model's dropout has the probability `p`; None leaves what the configuration says.

    Adapters keep their own. Frozen layers in training mode still apply dropout; whether the authors left it
    on is not published. Without `frozen`, modules whose parameters are all frozen drop nothing.
    """
    dropouts = {name: module for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    before = {module: module.p for module in dropouts.values()}
    for name, module in dropouts.items() if p is not None else ():
        if ".lora_dropout." not in name:
            module.p = p
    for module in model.modules() if not frozen else ():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            for dropout in before.keys() & set(module.modules()):
                dropout.p = 0.0
    try:
        yield
    finally:
        for module, probability in before.items():
            module.p = probability
