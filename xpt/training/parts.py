"""The words of a phase for parameter groups: what `new`, `all` and `encoder.top2` stand for in one model."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from xpt.program.errors import XPTError
from xpt.transplant.architectures import MLM
from xpt.transplant.parameter_groups import ALL_GROUPS, parameter_group

T = TypeVar("T")

NEW_GROUPS = ("word_embeddings", "itl", "lm_head_bias")
ALWAYS_NEW = (*NEW_GROUPS, "output_embeddings")  # of a decoder whose head is its own
ADAPTERS = "lora"  # a group where a phase has adapters
HALVES = {"encoder.lower": "bottom", "encoder.upper": "top"}
END_LAYERS = re.compile(r"encoder\.(top|bottom)([1-9]\d*)")


def check_group(group: str, where: str) -> None:
    """Raise `XPTError` for what is no parameter group of any model."""
    if group not in ("all", ADAPTERS) and group.split(".")[0] not in ALL_GROUPS:
        raise XPTError(
            f"{where}: unknown parameter group {group!r}; groups are all, new, {', '.join(ALL_GROUPS)}, "
            "itl.in, itl.out, encoder.0, encoder.1, ..., encoder.top2, encoder.bottom2, encoder.lower, "
            "encoder.upper, lora"
        )


def within(group: str, other: str) -> bool:
    """Whether all of `group` belongs to `other`: encoder.3 to encoder, anything to all."""
    return other == "all" or f"{group}.".startswith(f"{other}.")


def learns(group: str, train: str) -> bool:
    """Whether something of `group` is trained where `train` is; all does not say that there are adapters."""
    if train == "all":
        return group != ADAPTERS
    return within(group, train) or within(train, group)


def smallest_group(parameter: str, groups: Iterable[str], config: Any = None) -> str | None:
    """Of `groups` the smallest that a parameter of a model is in, by its name; None where it is in none."""
    holding = [one for one in groups if within(parameter_group(parameter, config), one)]
    return max(holding, key=lambda one: (one != "all", len(one)), default=None)


@dataclass(frozen=True)
class Parts:
    """What the words of a phase stand for in one model.

    Args:
        new: the groups that `new` means.
        layers: encoder layers; None before the source is known, when their words are left as they are.
        objective: how the model predicts; None before the source is known.
    """

    new: tuple[str, ...] = NEW_GROUPS
    layers: int | None = None
    objective: str | None = None

    @classmethod
    def of_report(cls, report: dict[str, Any]) -> "Parts":
        """From a transplant's report: the new parts that there are, and whatever else was not copied."""
        counts = {group: kinds for group, kinds in report["groups"].items() if sum(kinds.values())}
        new = tuple(group for group, kinds in counts.items() if group in ALWAYS_NEW or not kinds["copied"])
        whole = len(new) == len(counts)
        return cls(("all",) if whole else new, report["layers"], report.get("objective", MLM))

    def groups(self, train: Sequence[str]) -> tuple[str, ...]:
        """`train` in groups of the model, each once. Raises `XPTError` for more layers than there are."""
        found: list[str] = []
        for group in train:
            ends = END_LAYERS.fullmatch(group)
            if group == "new":
                found += self.new
            elif group in HALVES and self.layers is not None:
                found += self._half(group)
            elif ends and self.layers is not None:
                found += self._end_layers(group, ends[1], int(ends[2]))
            else:
                found.append(group)
        return tuple(dict.fromkeys(found))

    def by_group(self, values: Mapping[str, T], where: str) -> dict[str, T]:
        """Values by word as values by group of the model.

        Raises `XPTError` for an unknown group, and for one that stands there twice under two names.
        """
        found: dict[str, tuple[str, T]] = {}
        for word, value in values.items():
            for group in self.groups([word]):
                check_group(group, where)
                if group in found:
                    raise XPTError(f"{where} names {group} twice: {found[group][0]} and {word}")
                found[group] = (word, value)
        return {group: value for group, (_, value) in found.items()}

    def _half(self, group: str) -> list[str]:
        layers = self.layers or 0
        if layers % 2:
            raise XPTError(f"parameter group {group!r}: the model has {layers} encoder layers, which is odd")
        return self._end_layers(group, HALVES[group], layers // 2)

    def _end_layers(self, group: str, end: str, count: int) -> list[str]:
        layers = self.layers or 0
        if count > layers:
            raise XPTError(f"parameter group {group!r}: the model has {layers} encoder layers")
        chosen = range(layers - count, layers) if end == "top" else range(count)
        return [f"encoder.{layer}" for layer in chosen]
