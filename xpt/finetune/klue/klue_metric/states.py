"""WoS: the state of each user turn, a list of `domain-slot-value` strings that are compared whole."""

import math
from typing import Any

Row = dict[str, Any]


def wos_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Joint goal accuracy, and the mean of per-turn F1 that the baseline calls slot micro F1."""
    turns = _turns(predictions, references)
    return {
        "wos/jga": sum(set(predicted) == set(gold) for predicted, gold in turns) / len(turns),
        "wos/slot_f1": sum(_turn_f1(predicted, gold) for predicted, gold in turns) / len(turns),
    }


def wos_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """F1 over the state strings of all turns, each once a turn; NaN when no turn has any."""
    turns = [(set(predicted), set(gold)) for predicted, gold in _turns(predictions, references)]
    total = sum(len(predicted) + len(gold) for predicted, gold in turns)
    right = sum(len(predicted & gold) for predicted, gold in turns)
    return {"wos/slot_f1_pooled": 2 * right / total if total else math.nan}


def _turns(predictions: list[Row], references: list[Row]) -> list[tuple[list[str], list[str]]]:
    pairs = zip(predictions, references, strict=True)
    return [(prediction["state"], reference["state"]) for prediction, reference in pairs]


def _turn_f1(predicted: list[str], gold: list[str]) -> float:
    """A string predicted twice counts once when right and twice when wrong, as in the baseline."""
    if not gold:
        return float(not predicted)
    right = sum(state in predicted for state in gold)
    wrong = sum(state not in gold for state in predicted)
    return 2 * right / (len(gold) + right + wrong)
