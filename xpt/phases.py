"""Named parameter groups, and the phases that say which of them train.

Phase 1 of the method trains what is new (word embeddings with the tied output, both ITLs, the output bias)
while the English layers are frozen; phase 2 trains everything (Lee et al. 2021). A recipe may list any other
phases, such as gradual unfreezing, in the same words.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn
from transformers import SchedulerType

from xpt.errors import XPTError

# The first pattern that matches a parameter's name gives its group; a dotted group belongs to its stem.
GROUP_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"\.word_embeddings\.", "word_embeddings"),
    (r"\.embeddings\.(position_embeddings|token_type_embeddings|LayerNorm)\.", "source_embeddings"),
    (r"\.itl_(in|out)\.", "itl.{}"),
    (r"\.encoder\.layer\.(\d+)\.", "encoder.{}"),
    (r"^lm_head\.(?:dense|layer_norm)\.", "lm_head_transform"),
    (r"^lm_head\.(?:decoder\.)?bias$", "lm_head_bias"),
)
GROUPS = ("word_embeddings", "source_embeddings", "itl", "encoder", "lm_head_transform", "lm_head_bias")
NEW_GROUPS = ("word_embeddings", "itl", "lm_head_bias")
RESERVED_NAMES = ("initial", "before", "seconds", "transplant")
# How each entry of a phase is read; YAML gives 1e-4 as text.
PHASE_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "train": lambda groups: (groups,) if isinstance(groups, str) else tuple(groups),
    "steps": int,
    "learning_rate": float,
    "warmup_steps": float,
    "lr_scheduler_type": lambda kind: SchedulerType(kind).value,
    "mlm_probability": float,
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

    @classmethod
    def from_dict(cls, values: dict[str, Any], defaults: dict[str, Any]) -> "Phase":
        """A phase as a recipe writes it. Raises `XPTError` for a wrong, missing or unknown entry."""
        unknown = sorted(set(values) - set(PHASE_ENTRIES))
        if unknown:
            raise XPTError(f"phases: unknown entry {unknown[0]!r}; a phase has {', '.join(PHASE_ENTRIES)}")
        merged = {**defaults, **values}
        missing = sorted({"name", "train", "steps", "learning_rate"} - set(merged))
        if missing:
            raise XPTError(f"phases: phase {merged.get('name', '?')!r} lacks {missing[0]!r}")
        try:
            phase = cls(**{entry: PHASE_ENTRIES[entry](value) for entry, value in merged.items()})
        except (TypeError, ValueError) as error:
            raise XPTError(f"phases: phase {merged['name']!r}: {error}") from error
        phase.check()
        return phase

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
        if self.learning_rate <= 0:
            raise XPTError(f"{where}: learning_rate is {self.learning_rate}; give a positive number")
        for group in self.train:
            if group != "all" and group.split(".")[0] not in GROUPS:
                raise XPTError(
                    f"{where}: unknown parameter group {group!r}; groups are all, {', '.join(GROUPS)}, "
                    "itl.in, itl.out, encoder.0, encoder.1, ..."
                )

    def to_dict(self) -> dict[str, Any]:
        """For records: plain JSON types."""
        return {**asdict(self), "train": list(self.train)}


def parameter_group(name: str) -> str:
    """The group of a parameter of `XPTRobertaForMaskedLM`, by its name: `itl.in`, `encoder.3`, ..."""
    for pattern, group in GROUP_PATTERNS:
        match = re.search(pattern, name)
        if match:
            return group.format(*match.groups())
    raise ValueError(f"parameter {name!r} belongs to no group")


def group_sizes(model: nn.Module) -> dict[str, int]:
    """Parameters of each of `GROUPS`; tied tensors count once."""
    sizes = dict.fromkeys(GROUPS, 0)
    for name, parameter in model.named_parameters():
        sizes[parameter_group(name).split(".")[0]] += parameter.numel()
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
def frozen_dropout_off(model: nn.Module) -> Iterator[None]:
    """While open, modules whose parameters are all frozen drop nothing.

    Frozen layers in training mode still apply dropout; whether the authors left it on is not published.
    """
    changed = []
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            changed += [(m, m.p) for m in module.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    for dropout, _ in changed:
        dropout.p = 0.0
    try:
        yield
    finally:
        for dropout, p in changed:
            dropout.p = p
