"""What a phase predicts: masked tokens, the translation of a sentence token by token, or both by turns.

A decoder predicts each token from those before it (clm), and nothing else.

Cross-lingual language modeling (CdLM, Li et al. 2021) reads a sentence and predicts every token of its
translation. Rows of both objectives share a batch, and its loss is one mean over all labels, as in the
released code; `mixture` says how many rows of each.
"""

from collections.abc import Callable, Mapping
from typing import Any

from xpt.program.errors import XPTError
from xpt.text.packing import TARGET
from xpt.text.reading import PAIRS, SOURCE, TO_TARGET
from xpt.transplant.architectures import CLM, MLM

CDLM = "cdlm"
BOTH = f"{CDLM}+{MLM}"
OBJECTIVES = (MLM, CDLM, BOTH, CLM)
LANGUAGES: dict[str, tuple[str, ...]] = {TARGET: (TARGET,), SOURCE: (SOURCE,), "both": (TARGET, SOURCE)}


def _one_of(entry: str, choices: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"{entry} is {value!r}; give {', '.join(choices[:-1])} or {choices[-1]}")
        return str(value)

    return read


def _mixture(value: Any) -> dict[str, int]:
    whole = isinstance(value, Mapping) and all(type(share) is int and share > 0 for share in value.values())
    if not whole or set(value) != {MLM, CDLM}:
        raise ValueError(f"mixture is {value!r}; give rows of each by turns, such as {{cdlm: 3, mlm: 1}}")
    return {str(name): share for name, share in value.items()}


# How each entry of a phase is read.
OBJECTIVE_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "objective": _one_of("objective", OBJECTIVES),
    "direction": _one_of("direction", PAIRS),
    "languages": _one_of("languages", tuple(LANGUAGES)),
    "mixture": _mixture,
}


def check_objective(
    objective: str, direction: str, languages: str, mixture: Mapping[str, int], where: str
) -> None:
    """Raise `XPTError` for an entry that its objective does not read."""
    if objective in (MLM, CLM) and direction != TO_TARGET:
        raise XPTError(f"{where}: direction is for objective cdlm; leave it out")
    if objective in (CDLM, CLM) and languages != TARGET:
        raise XPTError(
            f"{where}: languages is for masked text, and objective {objective} masks none; leave it out"
        )
    if objective != BOTH and mixture:
        raise XPTError(f"{where}: mixture is for objective {BOTH}; leave it out")


def objective_for(given: str | None, model: str | None, where: str) -> str:
    """The objective of a phase: what it says, or else the model's, which is None where it is not known yet.

    Raises `XPTError` where a model cannot be trained so.
    """
    wanted = given or model or MLM
    if model == CLM and wanted != CLM:
        raise XPTError(f"{where}: objective {wanted} is for encoders, and the source is a decoder; give clm")
    if model == MLM and wanted == CLM:
        raise XPTError(f"{where}: objective clm is for decoders, and the source is an encoder; leave it out")
    return wanted


def turns_of(objective: str, direction: str, languages: str, mixture: Mapping[str, int]) -> tuple[str, ...]:
    """The streams that rows are of, by turns."""
    text = LANGUAGES[languages]
    if objective in (MLM, CLM):
        return text
    if objective == CDLM:
        return (direction,)
    return (direction,) * (mixture.get(CDLM, 1) * len(text)) + text * mixture.get(MLM, 1)
