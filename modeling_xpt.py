"""The XPT model: a RoBERTa with new layers, the implicit translation layers (ITLs), around a copied encoder.

    token ids -> embeddings -> itl_in -> encoder -> itl_out -> head

Only what differs from transformers' RoBERTa is said here. With the same weights the model equals, to the bit,
a stock RoBERTa whose first layers are `itl_in` and whose last are `itl_out`. This file and its neighbor
`configuration_xpt.py` travel inside every checkpoint and import nothing but torch and transformers.
"""

from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions, MaskedLMOutput
from transformers.models.roberta import modeling_roberta as stock
from transformers.utils import can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

try:  # out of a checkpoint's folder transformers makes a package; installed, the files are top-level modules
    from .configuration_xpt import AUTO_MAP, XPTRobertaConfig
except ImportError:
    from configuration_xpt import AUTO_MAP, XPTRobertaConfig

IGNORED_LABEL = -100
COUNTS_IN_DOUBLING = 8  # sizes of the head's input between n and 2n tokens: few, and little is filled up

# Newer transformers count the layers when asked for `output_hidden_states=-1`, and the ITLs are layers too.
_CAN_COUNT = "num_hidden_layers_key" in OutputRecorder.__dataclass_fields__
_LAYER_COUNT: dict[str, Any] = {"num_hidden_layers_key": "num_layers_with_itls"} if _CAN_COUNT else {}


class XPTRobertaPreTrainedModel(stock.RobertaPreTrainedModel):
    """What backbone and heads share: the configuration, what is recorded, how the Trainer scales losses."""

    config_class = XPTRobertaConfig
    backbone_class: Any = None  # that a head stands on; set below, where it is there
    _can_record_outputs = {  # noqa: RUF012 (the form transformers reads)
        **stock.RobertaPreTrainedModel._can_record_outputs,
        "hidden_states": OutputRecorder(stock.RobertaLayer, **_LAYER_COUNT),
    }
    # RoBERTa's heads return the mean of one batch. The Trainer, seeing `**kwargs` in their forward, would
    # trust them with the number of accumulated batches too, and the gradient would be that much too large.
    accepts_loss_kwargs = False


class XPTRobertaModel(XPTRobertaPreTrainedModel, stock.RobertaModel):
    """Embeddings, `itl_in`, encoder, `itl_out` and, where asked for, RoBERTa's pooler.

    Args:
        config: the configuration.
        add_pooling_layer: whether there is a `pooler_output`.

    Raises:
        ValueError: the configuration describes a decoder.
    """

    def __init__(self, config: XPTRobertaConfig, add_pooling_layer: bool = True) -> None:
        if config.is_decoder or config.add_cross_attention:
            raise ValueError("XPT is an encoder: set is_decoder and add_cross_attention to false")
        # RoBERTa's own constructors, here and in the heads, would build and draw layers only to drop them.
        stock.RobertaPreTrainedModel.__init__(self, config)
        self.gradient_checkpointing = False
        self.embeddings = stock.RobertaEmbeddings(config)
        self.itl_in = nn.ModuleList(stock.RobertaLayer(config) for _ in range(config.num_itl_in))
        self.encoder = stock.RobertaEncoder(config)
        self.itl_out = nn.ModuleList(stock.RobertaLayer(config) for _ in range(config.num_itl_out))
        self.pooler = stock.RobertaPooler(config) if add_pooling_layer else None
        self.add_own_layers(config)
        self.post_init()

    def add_own_layers(self, config: XPTRobertaConfig) -> None:
        """Make what a model built on this one has beside."""

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Encode tokens.

        Args:
            input_ids: (batch, length) token ids; or else `inputs_embeds`: (batch, length, hidden).
            attention_mask: (batch, length), nonzero = a token, 0 = padding; or (batch, 1, length, length), of
                booleans (true = the row's token may attend to the column's, as for packed sentences) or of
                floats that are added to the attention scores. All attend to all when absent.
            token_type_ids: (batch, length), all 0 when absent.
            position_ids: (batch, length), counted from pad_token_id + 1; from the ids when absent.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`; what attention kernels take.

        Returns:
            `last_hidden_state` (batch, length, hidden), `pooler_output` (batch, hidden) or None and, if asked
            for, `hidden_states` and `attentions` in the order of the layers, ITLs included.

        Raises:
            ValueError: no input or two, more tokens than positions, a mask of unknown shape or kind.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if position_ids is None:
            self._check_length(input_ids if input_ids is not None else inputs_embeds)
        kwargs.pop("use_cache", None)  # put there by the decorator; an encoder layer takes none
        hidden = self.embeddings(input_ids, token_type_ids, position_ids, inputs_embeds)
        mask = self._layer_mask(attention_mask, hidden)
        kwargs["position_ids"] = position_ids  # as in RoBERTa: flash attention finds packed sequences by them
        for layer in self.itl_in:
            hidden = layer(hidden, mask, **kwargs)
        hidden = self.encoder(hidden, mask, **kwargs).last_hidden_state
        for layer in self.itl_out:
            hidden = layer(hidden, mask, **kwargs)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=hidden, pooler_output=pooled)

    def _check_length(self, inputs: Any) -> None:
        """Refuse more tokens, ids or embedded, than positions: torch reports some index out of bounds."""
        padding_idx = self.embeddings.padding_idx
        usable = self.config.max_position_embeddings - padding_idx - 1  # rows up to the padding's are unused
        length = inputs.shape[1]
        if length <= usable:  # by shape alone, so that neither a compiler nor a GPU need look at values
            return
        if inputs.dim() == 2:  # ids: padding takes no position, a row padded beyond the table is in order
            length = int(inputs.ne(padding_idx).sum(dim=1).max())
        if length > usable:
            raise ValueError(
                f"a sequence of {length} tokens is longer than the {usable} positions of this model: "
                f"truncate it (tokenizer: truncation=True, max_length={usable})"
            )

    def _layer_mask(self, mask: Tensor | None, hidden: Tensor) -> Any:
        """Bring a caller's mask into the form that the attention implementation reads.

        Args:
            mask: as in `forward`; hidden: (batch, length, hidden), for shape, dtype and device.

        Returns:
            The mask for all layers, a tensor or flex attention's own kind; None where nothing is masked.

        Raises:
            ValueError: a mask of unknown shape or kind, or one that the implementation cannot use.
        """
        if not isinstance(mask, Tensor) or mask.dim() == 2:
            return create_bidirectional_mask(config=self.config, inputs_embeds=hidden, attention_mask=mask)
        batch, length = hidden.shape[:2]
        if mask.shape != (batch, 1, length, length):
            raise ValueError(
                f"attention_mask has the shape {tuple(mask.shape)}: give (batch, length) = {(batch, length)} "
                f"or (batch, 1, length, length) = {(batch, 1, length, length)}"
            )
        kind = self.config._attn_implementation
        if kind not in ("eager", "sdpa"):  # flex attention's CPU kernel writes out of bounds with one
            raise ValueError(f"{kind} takes no attention_mask tensor of four dimensions: use sdpa or eager")
        if mask.is_floating_point():
            return mask.to(hidden.dtype)
        if mask.dtype != torch.bool:
            raise ValueError(f"an attention_mask of four dimensions is bool or float, not {mask.dtype}")
        if kind == "sdpa":
            return mask
        # Eager adds the mask to the scores: booleans would be added as 0 and 1, without a word.
        lowest = torch.finfo(hidden.dtype).min
        return torch.zeros_like(mask, dtype=hidden.dtype).masked_fill(~mask, lowest)


XPTRobertaPreTrainedModel.backbone_class = XPTRobertaModel


class XPTRobertaForMaskedLM(XPTRobertaPreTrainedModel, stock.RobertaForMaskedLM):
    """The backbone with RoBERTa's language-model head, whose output matrix is the word embeddings."""

    accepts_loss_kwargs = True

    def __init__(self, config: XPTRobertaConfig) -> None:
        stock.RobertaPreTrainedModel.__init__(self, config)
        self.roberta = self.backbone_class(config, add_pooling_layer=False)
        self.lm_head = stock.RobertaLMHead(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Predict tokens; arguments that are not named here are the backbone's.

        Args:
            labels: (batch, length), true ids where a token is to be predicted, -100 elsewhere.
            num_items_in_batch: what the summed loss is divided by: the predicted tokens of all batches that
                make one step, as the Trainer counts them. When absent, those of this batch.

        Returns:
            `logits`: (batch, length, vocabulary), but with labels under `config.sparse_prediction` (predicted
            tokens, vocabulary). With labels `loss`: a scalar, nats a token, 0 where nothing is predicted.
        """
        outputs = self.roberta(
            input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        features = outputs.last_hidden_state  # (batch, length, hidden)
        predicted = None  # all that the head reads
        if labels is not None:
            labels = labels.to(features.device)
            if self.config.sparse_prediction:
                features, labels, predicted = gather_predicted(features, labels)
        logits = self.lm_head(features)
        return MaskedLMOutput(
            loss=_masked_lm_loss(logits, labels, num_items_in_batch) if labels is not None else None,
            logits=logits[:predicted],
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


@torch.compiler.disable  # its counts follow from values, which a compiler would take for constants
def gather_predicted(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, int]:
    """What the head reads under `config.sparse_prediction`: the tokens to predict, and fillers.

    How many tokens are masked changes from step to step. Were the largest tensors of a step to change too,
    the holes that one step leaves in the heap would not fit the next, and memory would grow for hours. So
    tokens are filled up to one of few counts.

    Args:
        features: (batch, length, hidden).
        labels: (batch, length), `IGNORED_LABEL` where nothing is to be predicted.

    Returns:
        features (count, hidden) and labels (count,), the fillers last and labelled `IGNORED_LABEL`, so that
        neither loss nor gradient comes of them; and how many tokens are to be predicted.

    Raises:
        ValueError: labels for other tokens than there are.
    """
    if labels.shape != features.shape[:2]:
        raise ValueError(f"labels {tuple(labels.shape)} do not fit tokens {tuple(features.shape[:2])}")
    labels = labels.flatten()
    places = (labels != IGNORED_LABEL).nonzero().squeeze(1)
    predicted = len(places)
    step = max(1, 2 ** (predicted.bit_length() - 1) // COUNTS_IN_DOUBLING)
    places = nn.functional.pad(places, (0, -predicted % step))  # the first token, again and again
    labels = labels[places]
    labels[predicted:] = IGNORED_LABEL
    return features.flatten(0, 1)[places], labels, predicted


def _masked_lm_loss(logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None) -> Tensor:
    """Cross-entropy of `logits` (..., vocabulary) against `labels` (...): a scalar, nats, at least float32.

    Summed, then divided by `num_items_in_batch` or by the number of labels; 0, not NaN, where there is none.
    """
    logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    total = nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED_LABEL, reduction="sum")
    if num_items_in_batch is None:
        num_items_in_batch = (labels != IGNORED_LABEL).sum()
    return total / torch.as_tensor(num_items_in_batch, device=total.device).clamp(min=1)


class XPTRobertaForSequenceClassification(XPTRobertaPreTrainedModel, stock.RobertaForSequenceClassification):
    """The backbone with RoBERTa's head for one label, or one number, a sequence."""

    def __init__(self, config: XPTRobertaConfig) -> None:
        stock.RobertaPreTrainedModel.__init__(self, config)
        self.num_labels = config.num_labels
        self.roberta = self.backbone_class(config, add_pooling_layer=False)
        self.classifier = stock.RobertaClassificationHead(config)
        self.post_init()


class XPTRobertaForTokenClassification(XPTRobertaPreTrainedModel, stock.RobertaForTokenClassification):
    """The backbone with RoBERTa's head for one label a token."""

    def __init__(self, config: XPTRobertaConfig) -> None:
        stock.RobertaPreTrainedModel.__init__(self, config)
        self.num_labels = config.num_labels
        self.roberta = self.backbone_class(config, add_pooling_layer=False)
        dropout = config.classifier_dropout
        self.dropout = nn.Dropout(config.hidden_dropout_prob if dropout is None else dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()


class XPTRobertaForQuestionAnswering(XPTRobertaPreTrainedModel, stock.RobertaForQuestionAnswering):
    """The backbone with RoBERTa's head for the first and the last token of an answer."""

    def __init__(self, config: XPTRobertaConfig) -> None:
        stock.RobertaPreTrainedModel.__init__(self, config)
        self.roberta = self.backbone_class(config, add_pooling_layer=False)
        # First and last, however many labels the configuration has: a classifier's checkpoint loads here too.
        self.num_labels = 2
        self.qa_outputs = nn.Linear(config.hidden_size, self.num_labels)
        self.post_init()


class XPTRobertaForMultipleChoice(XPTRobertaPreTrainedModel, stock.RobertaForMultipleChoice):
    """The backbone with RoBERTa's head for the best of several sequences."""

    def __init__(self, config: XPTRobertaConfig) -> None:
        stock.RobertaPreTrainedModel.__init__(self, config)
        self.roberta = self.backbone_class(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.choice_scorer = nn.Linear(config.hidden_size, 1)
        self.post_init()

    @property
    def classifier(self) -> nn.Linear:  # type: ignore[override]
        """The head by the name that RoBERTa's forward calls; in checkpoints that is a token classifier's."""
        return self.choice_scorer


_MODELS = {name: globals()[path.split(".")[1]] for name, path in AUTO_MAP.items() if name != "AutoConfig"}
for _auto_class, _model in _MODELS.items():
    _model.register_for_auto_class(_auto_class)  # so that saving copies the code files
if __name__ == "modeling_xpt":
    # The installed module, not a checkpoint's copy: with it no trust_remote_code is needed. All models or
    # none, because transformers prefers what is registered, class by class.
    transformers.AutoConfig.register(XPTRobertaConfig.model_type, XPTRobertaConfig, exist_ok=True)
    for _auto_class, _model in _MODELS.items():
        getattr(transformers, _auto_class).register(XPTRobertaConfig, _model, exist_ok=True)
