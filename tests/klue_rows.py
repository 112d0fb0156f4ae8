"""Rows of the KLUE metrics, written short, and their scores."""

import warnings

import pytest

from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric


def scored(task, predictions, references):
    """All metrics of a task; whatever warns is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return KlueMetric(task).compute(predictions=predictions, references=references, variants=True)


def labels(*names):
    return [{"label": name} for name in names]


def scores(*values):
    return [{"score": value} for value in values]


def states(*turns):
    return [{"state": turn} for turn in turns]


def sentence(text, tags):
    """A NER reference; tags are written without commas."""
    return {"characters": list(text), "tags": tags.split()}


def tree(heads, deprels):
    return {"heads": heads, "deprels": deprels.split()}


def answered(text, *golds):
    """MRC scores of one question."""
    return scored("mrc", [{"text": text}], [{"answers": list(golds)}])


def relation(label, **probs):
    """An RE prediction; the probabilities by index (p29=0.9), the others 0."""
    row = [0.0] * 30
    for key, value in probs.items():
        row[int(key[1:])] = value
    return {"label": label, "probs": row}


def same(value, expected, tolerance=1e-9):
    return value == pytest.approx(expected, abs=tolerance, rel=0, nan_ok=True)
