"""The best of several texts after one, by a multiple-choice head: a sequence for each text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from xpt.finetune.backbone import Backbone
from xpt.finetune.batches import pad_batch
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.heads.choice_scorer import choice_scorer
from xpt.finetune.judgment import Judgment, Passage
from xpt.finetune.sequence import OneLabel
from xpt.finetune.task import Example, Feature


@dataclass(frozen=True)
class Choice(Example):
    """A text, what may follow it, and which of that does: `labels[i]` of the task means `choices[i]`."""

    context: str
    choices: tuple[str, ...]
    label: str


class MultipleChoiceTask(OneLabel):
    """One of as many choices as there are `labels`."""

    def features(self, examples: Sequence[Any], encoder: TextEncoder, training: bool) -> list[Feature]:
        """For each choice the pair of context and choice; a context that is too long loses its beginning."""
        contexts = encoder.pieces([example.context for example in examples])
        choices = iter(encoder.pieces([choice for example in examples for choice in example.choices]))
        features = []
        for index, example in enumerate(examples):
            pairs = [_pair(encoder, contexts[index].ids, next(choices).ids) for _ in example.choices]
            inputs: dict[str, Any] = {name: [pair[name] for pair in pairs] for name in pairs[0]}
            features.append(Feature({**inputs, "labels": self.labels.index(example.label)}, index))
        return features

    def collate(self, features: Sequence[Feature], encoder: TextEncoder) -> dict[str, Tensor]:
        """Tensors (batch, choices, length), and labels (batch,)."""
        texts = [name for name in features[0].inputs if name != "labels"]
        rows = [
            {name: feature.inputs[name][choice] for name in texts}
            for feature in features
            for choice in range(len(self.labels))
        ]
        batch = pad_batch(rows, encoder.padding, encoder.max_length)
        batch = {name: tensor.unflatten(0, (-1, len(self.labels))) for name, tensor in batch.items()}
        return {**batch, "labels": torch.tensor([feature.inputs["labels"] for feature in features])}

    def build(self, backbone: Backbone) -> PreTrainedModel:
        """The model's own multiple-choice head, new; where transformers has none, one linear layer."""
        return choice_scorer(backbone)

    def judge(self, example: Choice, line: dict[str, Any]) -> Judgment:
        """Right or wrong; answers are shown as their texts."""
        text = dict(zip(self.labels, example.choices, strict=True))
        gold, answer = example.label, line["label"]
        passages = (Passage("", example.context), *(Passage(*choice) for choice in text.items()))
        return Judgment(passages, text[gold], text[answer], float(gold == answer), ((gold, answer),))


def _pair(encoder: TextEncoder, context: list[int], choice: list[int]) -> dict[str, list[int]]:
    kept, choice_kept = encoder.cut_pair(context, choice)
    return encoder.pair(context[len(context) - len(kept) :], choice_kept)
