"""Names of the survey where a model is wanted: their Hub ids, and what the files there leave open."""

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError
from xpt.survey.models import Model, read_survey


@dataclass(frozen=True)
class Opening:
    """How a model of the survey is opened; of any other, as its files say.

    Args:
        positions: tokens that it reads, whatever its configuration has room for; None where not known.
        tokenizer_class: transformers' class for its tokenizer, where no file says it.
        tokenizer_options: what that class, or the tokenizer of the files, is given: special tokens, casing.
    """

    positions: int | None = None
    tokenizer_class: str | None = None
    tokenizer_options: dict[str, Any] = field(default_factory=dict)


def find_model(name: str) -> Model:
    """A model by its name or Hub id. Raises `XPTError` in one line, with names that are near."""
    survey = read_survey()
    found = survey.models.get(name) or survey.on_hub(name)
    if found is None:
        near = difflib.get_close_matches(name.lower(), survey.models, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "xpt models lists all"
        raise XPTError(f"{name}: no model of the survey; {hint}")
    return found


def as_hub_id(name: str, revision: str | None) -> tuple[str, str | None]:
    """What a name of the survey stands for: Hub id and revision. A folder and any other name stay.

    Raises:
        XPTError: the model is not on the Hub, or not known to be.
    """
    if "/" in name or Path(name).exists():
        return name, revision
    model = read_survey().models.get(name)
    if model is None:
        return name, revision
    hub_id = model.value("hub")
    if hub_id is None:
        access = model.value("access")
        raise XPTError(
            f"{name}: has no Hub id in the survey{f' ({access})' if access else ''}; get it and give its "
            f"folder (see xpt models {name})"
        )
    return hub_id, revision or (model.value("load") or {}).get("revision")


def opening_of(name: str) -> Opening:
    """How the model with this Hub id is opened; one that the survey lacks, and a folder, as the files say."""
    model = None if Path(name).exists() else read_survey().on_hub(name)
    if model is None:
        return Opening()
    given = dict(model.value("load") or {})
    given.pop("revision", None)
    return Opening(model.number("positions"), given.pop("tokenizer_class", None), given)
