"""One answer a text, or a pair of texts, by transformers' classification heads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from xpt.finetune.backbone import Backbone
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.heads.linear_classifier import linear_classifier
from xpt.finetune.judgment import Judgment, Passage
from xpt.finetune.task import Example, Feature, Task


@dataclass(frozen=True)
class LabelledText(Example):
    """A text, or a pair of them, and its label."""

    first: str
    second: str | None
    label: str


class OneLabel(Task):
    """One label out of `labels` for each example, by a row of logits."""

    def predictions(
        self, examples: Sequence[Any], features: Sequence[Feature], outputs: Sequence[Any]
    ) -> list[dict[str, Any]]:
        """Each example's answer, from its row of logits."""
        return [
            {"guid": examples[feature.example].guid, **self.answer(row)}
            for feature, row in zip(features, outputs, strict=True)
        ]

    def answer(self, logits: np.ndarray) -> dict[str, Any]:
        """The prediction of one row of logits: the label of the largest."""
        return {"label": self.labels[int(np.argmax(logits))]}

    def reference(self, example: Any) -> dict[str, Any]:
        """The gold label."""
        return {"label": example.label}

    def check_prediction(self, example: Any, line: dict[str, Any]) -> None:
        """Raise `ValueError` for a label that the task does not have."""
        if line["label"] not in self.labels:
            raise ValueError(f"unknown label {line['label']!r:.60}; it has {', '.join(self.labels)}")


class SequenceTask(OneLabel):
    """One label out of `labels` for each example."""

    problem_type: ClassVar[str] = "single_label_classification"
    own_options: ClassVar[tuple[str, ...]] = ("linear_head",)
    outputs_per_example: ClassVar[int | None] = None  # columns of the logits; as many as labels

    def features(self, examples: Sequence[Any], encoder: TextEncoder, training: bool) -> list[Feature]:
        """One sequence an example, cut at its end: the longer text of a pair first."""
        first = encoder.pieces([example.first for example in examples])
        second = encoder.pieces([example.second or "" for example in examples])
        features = []
        for index, example in enumerate(examples):
            if example.second is None:
                inputs: dict[str, Any] = encoder.sequence(first[index].ids[: encoder.capacity])
            else:
                inputs = encoder.pair(*encoder.cut_pair(first[index].ids, second[index].ids))
            features.append(Feature({**inputs, "labels": self.target(example)}, index))
        return features

    def target(self, example: Any) -> int | float:
        """What the head learns for an example: the label's index in the official order."""
        return self.labels.index(example.label)

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """The model's own classification head, new; or one linear layer."""
        columns = self.outputs_per_example or len(self.labels)
        names = dict(enumerate(self.labels)) or {0: "LABEL_0"}
        if self.options.linear_head:
            return linear_classifier(backbone, names)
        return backbone.load(
            AutoModelForSequenceClassification,
            num_labels=columns,
            id2label=names,
            label2id={label: index for index, label in names.items()},
            problem_type=self.problem_type,
        )

    def passages(self, example: Any) -> tuple[Passage, ...]:
        """What was read."""
        if example.second is None:
            return (Passage("", example.first),)
        return (Passage("first", example.first), Passage("second", example.second))

    def judge(self, example: Any, line: dict[str, Any]) -> Judgment:
        """Right or wrong."""
        gold, answer = example.label, line["label"]
        return Judgment(self.passages(example), gold, answer, float(gold == answer), ((gold, answer),))
