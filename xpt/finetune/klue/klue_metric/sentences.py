"""YNAT, NLI, STS and RE: one label or one number a text; fractions by metric name come out."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import accuracy_score, auc, average_precision_score, f1_score, precision_recall_curve

from .labels import NO_RELATION, RELATIONS, YNAT_LABELS

Row = dict[str, Any]
_POSITIVE_FROM = 3.0  # of 0 to 5: two sentences that mean the same
_REAL_RELATIONS = tuple(relation for relation in RELATIONS if relation != NO_RELATION)


def ynat_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Macro F1 over the topics seen on either side (KLUE baseline: scikit-learn's default labels)."""
    return {"ynat/macro_f1": _f1(predictions, references, average="macro")}


def ynat_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Macro F1 over all topics, and accuracy."""
    return {
        "ynat/macro_f1_all_labels": _f1(predictions, references, average="macro", labels=YNAT_LABELS),
        "ynat/accuracy": _accuracy(predictions, references),
    }


def nli_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Accuracy."""
    return {"nli/accuracy": _accuracy(predictions, references)}


def nli_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """None: accuracy has no defect."""
    return {}


def sts_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Pearson's r and F1 at the threshold 3, both on 32-bit floats as the baseline's tensors are."""
    predicted, gold = _scores(predictions), _scores(references)
    positive = [(scores >= _POSITIVE_FROM).astype(int) for scores in (gold, predicted)]
    return {
        "sts/pearsonr": _correlation(pearsonr, predicted, gold),
        "sts/f1": f1_score(*positive, zero_division=0.0),
    }


def sts_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Spearman's rank correlation."""
    return {"sts/spearmanr": _correlation(spearmanr, _scores(predictions), _scores(references))}


def re_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Micro F1 of the labels, no_relation apart; mean area under the 30 precision-recall curves."""
    return {
        "re/micro_f1": _f1(predictions, references, average="micro", labels=_REAL_RELATIONS),
        "re/auprc": _mean_area(predictions, references),
    }


def re_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Macro F1 and mean average precision, no_relation left out of both."""
    seen = {row["label"] for row in (*predictions, *references)} - {NO_RELATION}
    macro = _f1(predictions, references, average="macro", labels=sorted(seen)) if seen else math.nan
    probs, gold = _curves(predictions, references)
    precisions = [
        average_precision_score(gold[:, at], probs[:, at])
        for at, relation in enumerate(RELATIONS)
        if relation != NO_RELATION and gold[:, at].any()
    ]
    return {
        "re/macro_f1": macro,
        "re/auprc_without_no_relation": float(np.mean(precisions)) if precisions else math.nan,
    }


def _mean_area(predictions: list[Row], references: list[Row]) -> float:
    """NaN if gold lacks a relation, as in the baseline's scikit-learn 0.24.1; newer ones make up a number."""
    probs, gold = _curves(predictions, references)
    if not gold.any(axis=0).all():
        return math.nan
    areas = []
    for at in range(len(RELATIONS)):
        precision, recall, _ = precision_recall_curve(gold[:, at], probs[:, at])
        areas.append(auc(recall, precision))
    return float(np.mean(areas))


def _curves(predictions: list[Row], references: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and gold as 0 and 1, both (examples, 30)."""
    probs = np.array([row["probs"] for row in predictions])
    gold = np.array([row["label"] for row in references])
    return probs, (gold[:, None] == np.array(RELATIONS)).astype(int)


def _f1(predictions: list[Row], references: list[Row], **settings: Any) -> float:
    return f1_score(_labels(references), _labels(predictions), zero_division=0.0, **settings)


def _accuracy(predictions: list[Row], references: list[Row]) -> float:
    return accuracy_score(_labels(references), _labels(predictions))


def _labels(rows: list[Row]) -> list[str]:
    return [row["label"] for row in rows]


def _scores(rows: list[Row]) -> np.ndarray:
    # Rounded as the baseline's tensors are, then summed in 64 bit as its scipy does.
    return np.array([row["score"] for row in rows], dtype=np.float32).astype(np.float64)


def _correlation(measure: Callable[..., Any], predicted: np.ndarray, gold: np.ndarray) -> float:
    """NaN where it is not defined: a constant side, or a single example (at which the baseline fails)."""
    if len(gold) < 2:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(measure(predicted, gold)[0])
