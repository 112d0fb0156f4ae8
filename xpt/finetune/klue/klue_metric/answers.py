"""MRC: one text a question against its gold answers; the best gold counts, "" if unanswerable."""

import re
import string
from collections import Counter
from collections.abc import Callable
from difflib import SequenceMatcher
from typing import Any

Row = dict[str, Any]
Normalizer = Callable[[str], str]
Measure = Callable[[str, str], float]

# The baseline's pattern: its class closes too early, so it wants a quote, then the four characters ()‘’.
_AS_WRITTEN = re.compile(r"['\"《》<>〈〉]\(\)‘’")
_AS_MEANT = re.compile(r"['\"《》<>〈〉()‘’]")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def mrc_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Exact match and what the baseline calls ROUGE-W, plain means over all questions."""
    return {
        "mrc/em": _mean_best(_equal, _official, predictions, references),
        "mrc/rouge_w": _mean_best(_run_f1, _official, predictions, references),
    }


def mrc_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Both with the normalizer that was meant, the run without autojunk; KorQuAD's F1 on characters."""
    return {
        "mrc/em_clean": _mean_best(_equal, _clean, predictions, references),
        "mrc/rouge_w_clean": _mean_best(_whole_run_f1, _clean, predictions, references),
        "mrc/char_f1": _mean_best(_character_f1, _clean, predictions, references),
    }


def _official(text: str) -> str:
    return _normalized(text, _AS_WRITTEN)


def _clean(text: str) -> str:
    return _normalized(text, _AS_MEANT)


def _normalized(text: str, pattern: re.Pattern[str]) -> str:
    return " ".join(pattern.sub(" ", text.lower()).translate(_PUNCTUATION).split())


def _mean_best(measure: Measure, normal: Normalizer, predictions: list[Row], references: list[Row]) -> float:
    best = [
        max(measure(normal(prediction["text"]), normal(gold)) for gold in reference["answers"] or [""])
        for prediction, reference in zip(predictions, references, strict=True)
    ]
    return sum(best) / len(best)


def _equal(predicted: str, gold: str) -> float:
    return float(predicted == gold)


def _run_f1(predicted: str, gold: str, autojunk: bool = True) -> float:
    """F1 of the longest block of characters, spaces too, that both have in one piece.

    With autojunk, as the baseline has it: in a gold of 200 characters or more, those that
    make up over 1 % of it seed none.
    """
    if not gold or not predicted:
        return float(predicted == gold)
    matcher = SequenceMatcher(None, predicted, gold, autojunk=autojunk)
    run = matcher.find_longest_match(0, len(predicted), 0, len(gold)).size
    return 2 * run / (len(predicted) + len(gold))


def _whole_run_f1(predicted: str, gold: str) -> float:
    return _run_f1(predicted, gold, autojunk=False)


def _character_f1(predicted: str, gold: str) -> float:
    bags = [Counter(text.replace(" ", "")) for text in (predicted, gold)]
    if not all(bags):
        return float(bags[0] == bags[1])
    return 2 * (bags[0] & bags[1]).total() / (bags[0].total() + bags[1].total())
