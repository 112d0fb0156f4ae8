"""The XPT model of a ModernBERT: new layers, the implicit translation layers (ITLs), around a copied encoder.

    token ids -> word embeddings -> itl_in -> norm -> layers -> itl_out -> final norm -> head

ModernBERT normalizes its embeddings once, before the first layer, which then has no norm of its own before
its attention. So `itl_in` stands before that norm: all behind it is the source's, and an ITL that adds
nothing changes no bit. No norm stands before `itl_in`, whose layers have their own: the source's, behind one
more, would no longer give the source's numbers. ITLs attend to all tokens; which of the copied layers attend
to a window is as in the source. Only what differs from transformers' ModernBERT is said here.

This file and its neighbors travel inside every checkpoint and import nothing but torch and transformers.
"""

import copy
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import create_bidirectional_mask, create_bidirectional_sliding_window_mask
from transformers.modeling_outputs import BaseModelOutput, MaskedLMOutput
from transformers.models.modernbert import modeling_modernbert as stock
from transformers.utils import can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

try:  # out of a checkpoint's folder transformers makes a package; installed, the files are top-level modules
    from .configuration_xpt import XPTRobertaConfig  # noqa: F401  5.4 copies only the files named here
    from .configuration_xpt_modernbert import AUTO_MAP, XPTModernBertConfig
    from .modeling_xpt import _LAYER_COUNT, _masked_lm_loss, gather_predicted
except ImportError:
    from configuration_xpt_modernbert import AUTO_MAP, XPTModernBertConfig
    from modeling_xpt import _LAYER_COUNT, _masked_lm_loss, gather_predicted

GLOBAL, LOCAL = "full_attention", "sliding_attention"


class XPTModernBertPreTrainedModel(stock.ModernBertPreTrainedModel):
    """What backbone and heads share: the configuration, what is recorded, how the Trainer scales losses."""

    config_class = XPTModernBertConfig
    _can_record_outputs = {  # noqa: RUF012 (the form transformers reads)
        **stock.ModernBertPreTrainedModel._can_record_outputs,
        "hidden_states": OutputRecorder(stock.ModernBertEncoderLayer, **_LAYER_COUNT),
    }
    accepts_loss_kwargs = False  # the heads return the mean of one batch: see modeling_xpt.py

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Start what a checkpoint lacks, each matrix by itself.

        ModernBERT reaches matrices from the module around them, and in code that is not transformers' own a
        module without parameters counts as loaded: in 5.4 a new layer would be whatever lies in memory.
        """
        PreTrainedModel._init_weights(self, module)
        super()._init_weights(module)


class XPTModernBertModel(XPTModernBertPreTrainedModel, stock.ModernBertModel):
    """Word embeddings, `itl_in`, their norm, layers, `itl_out` and the final norm.

    Args:
        config: the configuration.
    """

    def __init__(self, config: XPTModernBertConfig) -> None:
        # ModernBERT's own constructors, here and in the heads, would build and draw layers only to drop them.
        stock.ModernBertPreTrainedModel.__init__(self, config)
        self.gradient_checkpointing = False
        self.embeddings = stock.ModernBertEmbeddings(config)
        self.itl_in = nn.ModuleList(_new_layer(config) for _ in range(config.num_itl_in))
        self.layers = nn.ModuleList(
            stock.ModernBertEncoderLayer(config, number) for number in range(config.num_hidden_layers)
        )
        self.itl_out = nn.ModuleList(_new_layer(config) for _ in range(config.num_itl_out))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)
        self.rotary_emb = _with_layer_types(
            config, [GLOBAL, *config.layer_types], stock.ModernBertRotaryEmbedding
        )
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Encode tokens.

        Args:
            input_ids: (batch, length) token ids; or else `inputs_embeds`: (batch, length, hidden).
            attention_mask: (batch, length), nonzero = a token, 0 = padding; or (batch, 1, length, length), of
                booleans (true = the row's token may attend to the column's, as for packed sentences) or of
                floats that are added to the attention scores; or both kinds of layers' own, by layer type.
                All attend to all when absent. Layers of a window attend to what is in it, too.
            position_ids: (batch, length), of which only differences count; 0, 1, ... when absent.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`; what attention kernels take.

        Returns:
            `last_hidden_state` (batch, length, hidden) and, if asked for, `hidden_states` and `attentions` in
            the order of the layers, ITLs included; the first hidden state is what the first of them reads.

        Raises:
            ValueError: no input or two, a mask of unknown shape or kind.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        hidden: Any = self.embeddings.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        masks = attention_mask if isinstance(attention_mask, dict) else self._masks(attention_mask, hidden)
        places = position_ids
        if places is None:
            places = torch.arange(hidden.shape[1], device=hidden.device).unsqueeze(0)
        turns = {kind: self.rotary_emb(hidden, places, kind) for kind in {GLOBAL, *self.config.layer_types}}
        kwargs["position_ids"] = position_ids  # flash attention finds packed sequences by them

        def through(layers: nn.ModuleList, hidden: Tensor) -> Tensor:
            for layer in layers:
                kind = layer.attention_type
                hidden = layer(hidden, masks[kind], position_embeddings=turns[kind], **kwargs)
            return hidden

        hidden = through(self.itl_in, hidden)
        hidden = self.embeddings(inputs_embeds=hidden)  # norm and dropout alone
        hidden = through(self.layers, hidden)
        hidden = through(self.itl_out, hidden)
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden))

    def _masks(self, mask: Any, hidden: Tensor) -> dict[str, Any]:
        """Bring a caller's mask into the form that the attention implementation reads, by layer type.

        Args:
            mask: as in `forward`; hidden: (batch, length, hidden), for shape, dtype and device.

        Raises:
            ValueError: a mask of unknown shape or kind, or one that the implementation cannot use.
        """
        if not isinstance(mask, Tensor) or mask.dim() == 2:
            given = {"config": self.config, "inputs_embeds": hidden, "attention_mask": mask}
            return {
                GLOBAL: create_bidirectional_mask(**given),
                LOCAL: create_bidirectional_sliding_window_mask(**given),
            }
        batch, length = hidden.shape[:2]
        if mask.shape != (batch, 1, length, length):
            raise ValueError(
                f"attention_mask has the shape {tuple(mask.shape)}: give (batch, length) = {(batch, length)} "
                f"or (batch, 1, length, length) = {(batch, 1, length, length)}"
            )
        kind = self.config._attn_implementation
        if kind not in ("eager", "sdpa"):  # flex attention's CPU kernel writes out of bounds with one
            raise ValueError(f"{kind} takes no attention_mask tensor of four dimensions: use sdpa or eager")
        if mask.dtype != torch.bool and not mask.is_floating_point():
            raise ValueError(f"an attention_mask of four dimensions is bool or float, not {mask.dtype}")
        row = torch.arange(length, device=mask.device)
        outside = (row[:, None] - row).abs() > self.config.sliding_window  # (length, length)
        lowest = torch.finfo(hidden.dtype).min
        if mask.dtype == torch.bool and kind == "sdpa":
            return {GLOBAL: mask, LOCAL: mask & ~outside}
        if mask.dtype == torch.bool:  # eager adds the mask to the scores: booleans would be added as 0 and 1
            mask = torch.zeros_like(mask, dtype=hidden.dtype).masked_fill(~mask, lowest)
        mask = mask.to(hidden.dtype)
        return {GLOBAL: mask, LOCAL: mask.masked_fill(outside, lowest)}


def _new_layer(config: XPTModernBertConfig) -> nn.Module:
    """An ITL: a layer that attends to all tokens, behind a norm of its own, which only the first has not."""
    return _with_layer_types(config, [GLOBAL, GLOBAL], stock.ModernBertEncoderLayer, layer_idx=1)


def _with_layer_types(config: Any, layer_types: list[str], kind: Any, **kwargs: Any) -> nn.Module:
    """A module that is built as if the layers were of these types; it then holds `config` like all others.

    Holding a copy it would keep its attention implementation when the model's is changed.
    """
    described = copy.deepcopy(config)
    described.layer_types = layer_types
    built = kind(described, **kwargs)
    for module in built.modules():
        if getattr(module, "config", None) is described:
            module.config = config
    return built


class XPTModernBertForMaskedLM(XPTModernBertPreTrainedModel, stock.ModernBertForMaskedLM):
    """The backbone with ModernBERT's language-model head, whose output matrix is the word embeddings."""

    accepts_loss_kwargs = True

    def __init__(self, config: XPTModernBertConfig) -> None:
        stock.ModernBertPreTrainedModel.__init__(self, config)
        self.model = XPTModernBertModel(config)
        self.head = stock.ModernBertPredictionHead(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size, bias=config.decoder_bias)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Any = None,
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
        outputs = self.model(
            input_ids,
            attention_mask=attention_mask,
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
        logits = self.decoder(self.head(features))
        return MaskedLMOutput(
            loss=_masked_lm_loss(logits, labels, num_items_in_batch) if labels is not None else None,
            logits=logits[:predicted],
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class _Classifier(XPTModernBertPreTrainedModel):
    """What the heads with labels are made of."""

    def __init__(self, config: XPTModernBertConfig) -> None:
        stock.ModernBertPreTrainedModel.__init__(self, config)
        self.num_labels = config.num_labels
        self.model = XPTModernBertModel(config)
        self.head = stock.ModernBertPredictionHead(config)
        self.drop = nn.Dropout(config.classifier_dropout)
        self.add_scores(config)
        self.post_init()

    def add_scores(self, config: XPTModernBertConfig) -> None:
        """Make the last matrix."""
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)


class XPTModernBertForSequenceClassification(_Classifier, stock.ModernBertForSequenceClassification):
    """The backbone with ModernBERT's head for one label, or one number, a sequence."""


class XPTModernBertForTokenClassification(_Classifier, stock.ModernBertForTokenClassification):
    """The backbone with ModernBERT's head for one label a token."""


class XPTModernBertForQuestionAnswering(_Classifier, stock.ModernBertForQuestionAnswering):
    """The backbone with ModernBERT's head for the first and the last token of an answer."""

    def add_scores(self, config: XPTModernBertConfig) -> None:
        """First and last, however many labels the configuration has."""
        self.num_labels = 2
        self.qa_outputs = nn.Linear(config.hidden_size, self.num_labels)

    @property
    def classifier(self) -> nn.Linear:  # type: ignore[override]
        """The head by the name that ModernBERT's forward calls; in checkpoints that is a classifier's."""
        return self.qa_outputs


class XPTModernBertForMultipleChoice(_Classifier, stock.ModernBertForMultipleChoice):
    """The backbone with ModernBERT's head for the best of several sequences."""

    def add_scores(self, config: XPTModernBertConfig) -> None:
        """One score, however many labels the configuration has."""
        self.choice_scorer = nn.Linear(config.hidden_size, 1)

    @property
    def classifier(self) -> nn.Linear:  # type: ignore[override]
        """The head by the name that ModernBERT's forward calls; in checkpoints that is a classifier's."""
        return self.choice_scorer


_MODELS = {name: globals()[path.split(".")[1]] for name, path in AUTO_MAP.items() if name != "AutoConfig"}
for _auto_class, _model in _MODELS.items():
    _model.register_for_auto_class(_auto_class)  # so that saving copies the code files
if __name__ == "modeling_xpt_modernbert":
    # The installed module, not a checkpoint's copy: see modeling_xpt.py.
    transformers.AutoConfig.register(XPTModernBertConfig.model_type, XPTModernBertConfig, exist_ok=True)
    for _auto_class, _model in _MODELS.items():
        getattr(transformers, _auto_class).register(XPTModernBertConfig, _model, exist_ok=True)
