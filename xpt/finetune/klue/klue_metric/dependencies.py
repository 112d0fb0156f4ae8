"""DP: a head and a label a word; the words of all sentences are counted as one list."""

from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from .labels import DEPRELS

Row = dict[str, Any]
_MERGED_FROM = 15  # the baseline makes this label and all after it one class
_WRONG_HEAD = -2  # what a label becomes whose word has the wrong head


def dp_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """The baseline's four F1 scores: heads are classes in UAS, a wrong head is one more class in LAS."""
    heads, labels = _words(references)
    predicted_heads, predicted_labels = _words(predictions)
    merged = np.minimum(labels, _MERGED_FROM)
    predicted = np.where(predicted_heads == heads, np.minimum(predicted_labels, _MERGED_FROM), _WRONG_HEAD)
    return {
        "dp/uas_macro_f1": f1_score(heads, predicted_heads, average="macro", zero_division=0.0),
        "dp/uas_micro_f1": f1_score(heads, predicted_heads, average="micro", zero_division=0.0),
        "dp/las_macro_f1": f1_score(merged, predicted, average="macro", zero_division=0.0),
        "dp/las_micro_f1": f1_score(merged, predicted, average="micro", zero_division=0.0),
    }


def dp_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Attachment scores as other treebanks define them: shares of words."""
    heads, labels = _words(references)
    predicted_heads, predicted_labels = _words(predictions)
    attached = predicted_heads == heads
    return {
        "dp/uas": float(np.mean(attached)),
        "dp/las": float(np.mean(attached & (predicted_labels == labels))),
    }


def _words(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Heads and label indices of all words, both (words,)."""
    index = {label: at for at, label in enumerate(DEPRELS)}
    heads = np.array([head for row in rows for head in row["heads"]], dtype=np.int64)
    labels = np.array([index[label] for row in rows for label in row["deprels"]], dtype=np.int64)
    return heads, labels
