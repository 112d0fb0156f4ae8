"""Scores of answers become what the benchmark measures, with what needs no model beside it.

log-likelihood of each answer, in nats -> the likeliest one of each item -> accuracy, macro F1, and accuracy
of the answer that is likeliest a character (`acc_norm`), in percent
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from xpt.evaluate.prompts import Choices
from xpt.finetune.task import Task

NORMALIZED = "acc_norm"


def measure(
    task: Task, items: Sequence[Choices], gold: Sequence[str], scores: Sequence[Sequence[float]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the answers are worth.

    Args:
        task: whose labels name the answers.
        items: what was asked.
        gold: the right label of each item.
        scores: of each item, one for each label, in nats.

    Returns:
        metrics in percent, their 95 % intervals, baselines and how often each label was answered; and a line
        for each item with what it was given.
    """
    lines = []
    for item, label, values in zip(items, gold, scores, strict=True):
        by_character = np.array(values) / np.array(item.lengths)
        lines.append(
            {
                "guid": item.guid,
                "label": task.labels[int(np.argmax(values))],
                "label_normalized": task.labels[int(np.argmax(by_character))],
                "gold": label,
                "log_likelihoods": list(values),
            }
        )
    references = [{"label": label} for label in gold]
    examples = [SimpleNamespace(label=label) for label in gold]  # as far as scores need them
    normalized = [{"label": line["label_normalized"]} for line in lines]
    accuracy, normalized_name = f"{task.name}/accuracy", f"{task.name}/{NORMALIZED}"
    metrics = dict(task.metric().compute(predictions=lines, references=references))
    intervals = dict(task.intervals(examples, lines))
    of_normalized = task.metric().compute(predictions=normalized, references=references)
    metrics[normalized_name] = of_normalized[accuracy]
    intervals[normalized_name] = task.intervals(examples, normalized)[accuracy]
    baselines = {
        name: {**values, normalized_name: values[accuracy]}
        for name, values in task.baselines(examples).items()
    }
    answers = [line["label"] for line in lines]
    results = {
        "metrics": metrics,
        "intervals": intervals,
        "baselines": baselines,
        "answers": {label: answers.count(label) for label in task.labels},
    }
    return results, lines
