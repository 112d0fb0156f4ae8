"""Which models of the survey are meant: filters of `xpt models`."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from xpt.survey.models import Model


@dataclass(frozen=True)
class Selection:
    """What a model must be; None asks nothing. What is not known, or undisclosed, is not what was asked for.

    Args:
        name: a pattern with * and ?, or part of the name.
        objective: one of those that a model was trained with, whatever its case.
        language: a code, such as `ko`, or `multilingual`.
        max_parameters: at most so many.
    """

    name: str | None = None
    kind: str | None = None
    objective: str | None = None
    language: str | None = None
    from_year: int | None = None
    to_year: int | None = None
    max_parameters: int | None = None

    def of(self, models: Iterable[Model]) -> list[Model]:
        """Those that are meant, in the order of the survey."""
        return [model for model in models if self._meant(model)]

    def _meant(self, model: Model) -> bool:
        pattern = (self.name or "*").lower()
        pattern = pattern if set(pattern) & set("*?") else f"*{pattern}*"
        objectives = model.value("objective") or ()
        objectives = [objectives] if isinstance(objectives, str) else objectives
        return (
            fnmatchcase(model.name, pattern)
            and self.kind in (None, model.value("kind"))
            and (self.objective is None or self.objective.lower() in map(str.lower, objectives))
            and (self.language is None or self.language in str(model.value("language")).split(", "))
            and _within(model.number("year"), self.from_year, self.to_year)
            and _within(model.number("parameters"), None, self.max_parameters)
        )


def _within(value: int | None, least: int | None, most: int | None) -> bool:
    if least is None and most is None:
        return True
    return value is not None and (least is None or least <= value) and (most is None or value <= most)
