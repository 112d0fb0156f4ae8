"""The head of span extraction for models that transformers gives none, or one that forgets their weights."""

from typing import Any

from torch import Tensor, nn
from transformers import (
    MODEL_FOR_QUESTION_ANSWERING_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForQuestionAnswering,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import QuestionAnsweringModelOutput

from xpt.finetune.heads.headed import HeadedConfig, HeadedModel


class SpanReaderConfig(HeadedConfig):
    """The encoder's configuration, under the head's own name."""

    model_type = "klue-span-reader"


class SpanReader(HeadedModel):
    """Two numbers a token: how well an answer starts, and ends, there.

    Args:
        config: what the encoder is.
        encoder: it, loaded; new otherwise.
    """

    config_class = SpanReaderConfig

    def __init__(self, config: SpanReaderConfig, encoder: PreTrainedModel | None = None) -> None:
        super().__init__(config, encoder)
        self.qa_outputs = nn.Linear(config.encoder.hidden_size, 2)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        **inputs: Any,
    ) -> QuestionAnsweringModelOutput:
        """Logits (batch, length) of starts and ends, and the mean cross-entropy of both if they are known.

        Args:
            input_ids: (batch, length).
            attention_mask: (batch, length).
            start_positions: (batch,).
            end_positions: (batch,), inclusive.
            **inputs: what else the encoder reads: `token_type_ids`.
        """
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        start_logits, end_logits = self.qa_outputs(hidden).unbind(dim=-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            both = zip((start_logits, end_logits), (start_positions, end_positions), strict=True)
            loss = sum(nn.functional.cross_entropy(*pair) for pair in both) / 2
        return QuestionAnsweringModelOutput(loss=loss, start_logits=start_logits, end_logits=end_logits)


def stock_head(config: PretrainedConfig) -> bool:
    """Whether transformers' own head can be used for a model.

    Some (Llama, Qwen) keep the model under another name than its checkpoints do, so that `from_pretrained`
    finds nothing there and starts from random weights.
    """
    if type(config) not in MODEL_FOR_QUESTION_ANSWERING_MAPPING:
        return False
    head, model = MODEL_FOR_QUESTION_ANSWERING_MAPPING[type(config)], MODEL_MAPPING[type(config)]
    model = model[0] if isinstance(model, tuple) else model
    return head.base_model_prefix == model.base_model_prefix


AutoConfig.register(SpanReaderConfig.model_type, SpanReaderConfig, exist_ok=True)
AutoModel.register(SpanReaderConfig, SpanReader, exist_ok=True)
AutoModelForQuestionAnswering.register(SpanReaderConfig, SpanReader, exist_ok=True)
