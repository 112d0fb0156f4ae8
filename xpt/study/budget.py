"""How long each run trains: tokens, minutes on the machine that measured, until validation stands still."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from xpt.program.errors import XPTError
from xpt.recipe.recipe import TWO_PHASES, Recipe, flags_of
from xpt.training.along import FLAT_SCHEDULES, Until

ENTRIES = ("tokens", "minutes", "until", "every", "patience", "least")
VALIDATION = "validation"


@dataclass(frozen=True)
class Budget:
    """Of each run; without any, steps are the recipe's own.

    Args:
        tokens: that it reads.
        minutes: that its steps take, by their speed before.
        until: how each phase is ended; tokens, minutes or the recipe's steps are then the most.
    """

    tokens: int | None = None
    minutes: float | None = None
    until: Until | None = None

    @classmethod
    def read(cls, value: Any) -> "Budget":
        """From a study. Raises `XPTError` for what cannot be meant."""
        if value is None:
            return cls()
        if not isinstance(value, dict) or not value:
            raise XPTError("budget: give tokens, minutes or until; steps are the recipe's own")
        unknown = [name for name in value if name not in ENTRIES]
        if unknown:
            raise XPTError(f"unknown entry {unknown[0]!r}; budget has {', '.join(ENTRIES)}")
        if "tokens" in value and "minutes" in value:
            raise XPTError("budget: give tokens or minutes, not both")
        return cls(_number(value, "tokens", int), _number(value, "minutes", float), _until(value))

    def describe(self) -> dict[str, Any]:
        """What is given, in JSON's types."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def until_flags(self, recipe: Recipe, scheduled: bool) -> dict[str, list[str]]:
        """Flags by which validation ends each phase.

        The rate stays where its warm-up ends, unless the recipe says how it goes on (`scheduled`), which must
        be flat then: a falling rate would make validation stand still by itself.
        """
        if self.until is None:
            return {}
        listed = recipe.phase_list or list(TWO_PHASES)
        ended = [{**phase, "until": self.until.to_dict()} for phase in listed]
        flags = {"phases": ["--phases", json.dumps(ended)]}
        if not scheduled:
            flags["lr_scheduler_type"] = ["--lr_scheduler_type", FLAT_SCHEDULES[1]]
        return flags


def _number(value: Mapping[str, Any], name: str, kind: type) -> Any:
    if name not in value:
        return None
    try:
        number = kind(value[name])
    except (TypeError, ValueError):
        what = "a whole number" if kind is int else "a number"
        raise XPTError(f"budget: give {name}, {what}; steps are the recipe's own") from None
    if not 0 < number < float("inf"):
        raise XPTError(f"budget: {name} is {number}; give {'at least 1' if kind is int else 'more than 0'}")
    return number


def _until(value: Mapping[str, Any]) -> Until | None:
    rest = {name: value[name] for name in ENTRIES[3:] if name in value}
    if "until" not in value:
        if rest:
            raise XPTError(f"budget: {next(iter(rest))} goes with until: {VALIDATION}")
        return None
    if value["until"] != VALIDATION:
        raise XPTError(f"budget: until is {value['until']!r}; a run trains until {VALIDATION} stands still")
    try:
        return Until.from_dict(rest)
    except (TypeError, ValueError) as error:
        raise XPTError(f"budget: {error}") from error


def steps_for_tokens(recipe: Recipe, tokens: int) -> dict[str, list[str]]:
    """Flags by which the phases, in the recipe's proportion, read about `tokens`.

    Packed sequences count as full, so that a little less is read: how much is padding only the text knows.
    Raises `XPTError` where they are not packed, and where a phase would have no step.
    """
    if not recipe.phases.packing:
        raise XPTError("budget: tokens needs --packing true; give steps instead")
    planned = sum(phase.steps for phase in recipe.planned_phases())
    share = tokens / (recipe.training.rows_per_step * recipe.phases.max_seq_length) / planned
    return share_of_steps(recipe, share)


def share_of_steps(recipe: Recipe, share: float) -> dict[str, list[str]]:
    """Flags for so many times the recipe's steps. Raises `XPTError` where a phase would have none."""
    flags: dict[str, list[str]] = {}
    listed = recipe.phase_list
    scaled = [{**phase, **_scaled(phase, share)} for phase in listed or ()]
    if listed is not None:
        flags["phases"] = ["--phases", json.dumps(scaled)]
    for name in ("phase1", "phase2"):
        steps = getattr(recipe.phases, f"{name}_steps")
        taken = listed is None or any(flags_of(p.get("name")) == name and "steps" not in p for p in listed)
        if taken and steps:
            flags[f"{name}_steps"] = [f"--{name}_steps", str(_at_least_one(steps * share, name))]
    return flags


def _scaled(phase: Mapping[str, Any], share: float) -> dict[str, int]:
    if "steps" not in phase:
        return {}
    return {"steps": _at_least_one(int(phase["steps"]) * share, str(phase.get("name")))}


def _at_least_one(steps: float, phase: str) -> int:
    if round(steps) < 1:
        raise XPTError(f"budget: {phase} would have no step; give more")
    return round(steps)
