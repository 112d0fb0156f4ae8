"""The plainest head of a sequence: one linear layer, as the relation extraction study of 2022 has it.

Stock heads put more before it: RoBERTa's a dense layer and tanh, BERT's the pooler.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from xpt.finetune.backbone import Backbone, Kind
from xpt.finetune.heads.headed import HeadedConfig, HeadedModel


class LinearClassifierConfig(HeadedConfig):
    """What `LinearClassifier` is made from; `id2label` names its columns.

    Args:
        reads_last: the last token is read, which alone has seen the others of a model from left to right.
    """

    model_type = "klue-linear-classifier"
    reads_last: bool = False


class LinearClassifier(HeadedModel):
    """An encoder and a linear layer on the last hidden state of its first token."""

    config_class = LinearClassifierConfig

    def __init__(self, config: LinearClassifierConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        self.classifier = nn.Linear(config.encoder.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        """Logits (batch, labels), and with `labels` (batch,) the mean of their loss: cross-entropy, of one
        column the squared error. Other `inputs` (token types) go to the encoder."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        rows = torch.arange(len(hidden), device=hidden.device)
        places = attention_mask.sum(dim=1) - 1 if self.config.reads_last else 0
        logits = self.classifier(hidden[rows, places])  # (batch, labels)
        loss = None
        if labels is not None and self.config.num_labels == 1:
            loss = nn.functional.mse_loss(logits[:, 0], labels)
        elif labels is not None:
            loss = nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def linear_classifier(backbone: Backbone, names: dict[int, str]) -> LinearClassifier:
    """A model with a new head whose column i is called `names[i]`; of two stacks the first is read."""
    encoder = backbone.load_encoder()  # first: it gives the configuration rows for what a task added
    config = LinearClassifierConfig(
        encoder=backbone.config,
        id2label=names,
        label2id={label: index for index, label in names.items()},
        reads_last=backbone.kind is Kind.DECODER,
    )
    return LinearClassifier(config, encoder)


AutoConfig.register(LinearClassifierConfig.model_type, LinearClassifierConfig)
AutoModel.register(LinearClassifierConfig, LinearClassifier)
AutoModelForSequenceClassification.register(LinearClassifierConfig, LinearClassifier)
