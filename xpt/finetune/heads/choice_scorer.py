"""The head of multiple choice for models that transformers gives none: decoders, encoder-decoders."""

from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMultipleChoice, PreTrainedModel
from transformers.modeling_outputs import MultipleChoiceModelOutput

from xpt.finetune.backbone import Backbone, Kind
from xpt.finetune.heads.linear_classifier import LinearClassifier, LinearClassifierConfig


class ChoiceScorerConfig(LinearClassifierConfig):
    """That of the classifier with one column, which scores each choice."""

    model_type = "klue-choice-scorer"


class ChoiceScorer(LinearClassifier):
    """A classifier's one number for each choice."""

    config_class = ChoiceScorerConfig

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> MultipleChoiceModelOutput:
        """Logits (batch, choices) of tensors (batch, choices, length), and with `labels` (batch,) the mean
        cross-entropy."""
        rows = {name: tensor.flatten(0, 1) for name, tensor in inputs.items()}
        scored = super().forward(input_ids.flatten(0, 1), attention_mask.flatten(0, 1), **rows)
        logits = scored.logits.view(input_ids.shape[:2])
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return MultipleChoiceModelOutput(loss=loss, logits=logits)


def choice_scorer(backbone: Backbone) -> PreTrainedModel:
    """A model with a new head for choices: transformers' own where it has one, else `ChoiceScorer`.

    That of XLM-R and CamemBERT in transformers 5.4 reads a pooler which the model is built without.
    """
    if type(backbone.config) in AutoModelForMultipleChoice._model_mapping:
        model = backbone.load(AutoModelForMultipleChoice)
        if getattr(model.base_model, "pooler", ...) is not None:
            return model
    encoder = backbone.load_encoder()  # first: it gives the configuration rows for what a task added
    config = ChoiceScorerConfig(
        encoder=backbone.config, num_labels=1, reads_last=backbone.kind is Kind.DECODER
    )
    return ChoiceScorer(config, encoder)


AutoConfig.register(ChoiceScorerConfig.model_type, ChoiceScorerConfig)
AutoModel.register(ChoiceScorerConfig, ChoiceScorer)
AutoModelForMultipleChoice.register(ChoiceScorerConfig, ChoiceScorer)
