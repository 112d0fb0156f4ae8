"""One label an example: accuracy and macro F1, their 95 % intervals, and what answers without a model get.

labels, gold and answered -> counts (gold, answered) -> scores by metric name, in percent
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
CHANCE, CONSTANT = "chance", "constant"


class LabelMetric:
    """Accuracy and macro F1 of labels, called `PREFIX/accuracy` and `PREFIX/macro_f1`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def compute(
        self, *, predictions: list[dict[str, Any]], references: list[dict[str, Any]], variants: bool = False
    ) -> dict[str, float]:
        """Percents; macro F1 is the mean over labels in gold or prediction. There are no variants."""
        from sklearn.metrics import accuracy_score, f1_score  # for who scores

        answered, gold = ([row["label"] for row in rows] for rows in (predictions, references))
        return _named(
            self.prefix,
            float(accuracy_score(gold, answered)),
            float(f1_score(gold, answered, average="macro", zero_division=0.0)),
        )


def label_baselines(prefix: str, labels: Sequence[str], gold: Sequence[str]) -> dict[str, dict[str, float]]:
    """Scores of labels drawn at random, all alike, and of the most frequent gold label for every example.

    Those of chance are of the counts that are expected of it.
    """
    frequencies = np.array([gold.count(label) for label in labels], dtype=float)
    chance = np.outer(frequencies, np.full(len(labels), 1 / len(labels)))
    constant = np.outer(frequencies, np.arange(len(labels)) == frequencies.argmax())
    return {name: _scores(prefix, counts) for name, counts in ((CHANCE, chance), (CONSTANT, constant))}


def label_intervals(
    prefix: str, labels: Sequence[str], gold: Sequence[str], answered: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """95 % intervals over examples: of accuracy Wilson's, of macro F1 the percentiles of a seeded bootstrap.

    A resample of examples is a draw from the counts of (gold, answered), so counts are drawn.
    """
    from scipy.stats import binomtest

    counts = _counts(labels, gold, answered)
    right, total = int(counts.trace()), int(counts.sum())
    wilson = binomtest(right, total).proportion_ci(LEVEL, method="wilson")
    shares = counts.ravel() / total
    drawn = np.random.default_rng(0).multinomial(total, shares, size=RESAMPLES)
    values = macro_f1(drawn.reshape(RESAMPLES, *counts.shape))
    tail = (1 - LEVEL) / 2
    ends = zip(wilson, np.quantile(values, (tail, 1 - tail)), strict=True)
    low, high = (_named(prefix, float(one), float(other)) for one, other in ends)
    return {name: (low[name], high[name]) for name in low}


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 of the labels that occur in gold or answers, of counts (..., gold, answered)."""
    right = counts.diagonal(axis1=-2, axis2=-1)  # (..., labels)
    both = counts.sum(axis=-1) + counts.sum(axis=-2)
    f1 = np.divide(2 * right, both, out=np.zeros(both.shape), where=both > 0)
    return f1.sum(axis=-1) / (both > 0).sum(axis=-1)


def _counts(labels: Sequence[str], gold: Sequence[str], answered: Sequence[str]) -> np.ndarray:
    place = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(counts, ([place[label] for label in gold], [place[label] for label in answered]), 1)
    return counts


def _scores(prefix: str, counts: np.ndarray) -> dict[str, float]:
    return _named(prefix, float(counts.trace() / counts.sum()), float(macro_f1(counts)))


def _named(prefix: str, accuracy: float, f1: float) -> dict[str, float]:
    return {f"{prefix}/accuracy": 100.0 * accuracy, f"{prefix}/macro_f1": 100.0 * f1}
