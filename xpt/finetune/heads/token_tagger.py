"""A tag for each token, by encoders for which transformers has no such head: BART, mBART, Pegasus, ...

The head is the stock one of BERT and RoBERTa: dropout and one linear layer.
"""

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification, PreTrainedModel
from transformers.modeling_outputs import TokenClassifierOutput

from xpt.finetune.backbone import Backbone
from xpt.finetune.batches import IGNORED_LABEL
from xpt.finetune.heads.headed import HeadedConfig, HeadedModel


class TokenTaggerConfig(HeadedConfig):
    """What `TokenTagger` is made from; `id2label` names its tags.

    Args:
        dropout: of the last hidden states, while training.
    """

    model_type = "klue-token-tagger"
    dropout: float = 0.1


class TokenTagger(HeadedModel):
    """An encoder and a linear layer on each of its last hidden states."""

    config_class = TokenTaggerConfig

    def __init__(self, config: TokenTaggerConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.encoder.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **inputs: Any,
    ) -> TokenClassifierOutput:
        """Logits (batch, length, tags), and with `labels` (batch, length) the mean cross-entropy of all that
        are not -100. Other `inputs` (token types) go to the encoder."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        logits = self.classifier(self.dropout(hidden))  # (batch, length, tags)
        loss = None
        if labels is not None:
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL
            )
        return TokenClassifierOutput(loss=loss, logits=logits)


AutoConfig.register(TokenTaggerConfig.model_type, TokenTaggerConfig)
AutoModel.register(TokenTaggerConfig, TokenTagger)


def token_tagger(backbone: Backbone, labels: tuple[str, ...]) -> PreTrainedModel:
    """A model with a new head that tags tokens: transformers' own where it has one, else `TokenTagger`.

    The tag that has index i in `labels` is column i of the logits.
    """
    names = dict(enumerate(labels))
    fields: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": names,
        "label2id": {label: index for index, label in names.items()},
    }
    if type(backbone.config) in AutoModelForTokenClassification._model_mapping:
        return backbone.load(AutoModelForTokenClassification, **fields)
    encoder = backbone.load_encoder()
    del fields["num_labels"]  # a configuration counts its names
    return TokenTagger(TokenTaggerConfig(encoder=backbone.config, **fields), encoder)
