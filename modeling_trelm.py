"""The TreLM model (Li et al. 2021): in the middle of a copied encoder one language becomes another.

    ids -> embeddings + language -> lower half -> [order] + language + position -> tri -> upper half -> head

The lower half reads the source's tokens in the source's order. What it made of them is then put into the
order of the target's tokens, told by an alignment; the TRILayer and the upper half read that. In use there is
one language: nothing is put into another order, and nobody need pass anything but the text. Were nothing
added in the middle, and no language to the embeddings, it would be a stock RoBERTa of one layer more.

This file and its neighbors travel inside every checkpoint and import nothing but torch and transformers.
"""

from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions
from transformers.models.roberta import modeling_roberta as stock
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

try:  # out of a checkpoint's folder transformers makes a package; installed, the files are top-level modules
    from .configuration_trelm import AUTO_MAP, TreLMRobertaConfig
    from .configuration_xpt import XPTRobertaConfig  # noqa: F401  5.4 copies only the files named here
    from .modeling_xpt import (
        XPTRobertaForMaskedLM,
        XPTRobertaForMultipleChoice,
        XPTRobertaForQuestionAnswering,
        XPTRobertaForSequenceClassification,
        XPTRobertaForTokenClassification,
        XPTRobertaModel,
        XPTRobertaPreTrainedModel,
    )
except ImportError:
    from configuration_trelm import AUTO_MAP, TreLMRobertaConfig
    from modeling_xpt import (
        XPTRobertaForMaskedLM,
        XPTRobertaForMultipleChoice,
        XPTRobertaForQuestionAnswering,
        XPTRobertaForSequenceClassification,
        XPTRobertaForTokenClassification,
        XPTRobertaModel,
        XPTRobertaPreTrainedModel,
    )


class TreLMRobertaModel(XPTRobertaModel):
    """Embeddings, lower half, TRILayer, upper half and, where asked for, RoBERTa's pooler.

    Args:
        config: the configuration.
        add_pooling_layer: whether there is a `pooler_output`.

    Raises:
        ValueError: the configuration describes a decoder.
    """

    config_class = TreLMRobertaConfig

    def add_own_layers(self, config: TreLMRobertaConfig) -> None:
        """The table of languages and the TRILayer."""
        self.language_embeddings = nn.Embedding(config.num_languages, config.hidden_size)
        self.tri = stock.RobertaLayer(config)

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        language_ids: Tensor | None = None,
        alignment: Tensor | None = None,
        target_language_ids: Tensor | None = None,
        target_attention_mask: Tensor | None = None,
        target_position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        """Encode tokens of one language, or those of one in the order of another's.

        Args:
            input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds: as XPT takes them.
            language_ids: (batch, 1) or (batch, length), rows of the language table; when absent those of the
                default language.
            alignment: (batch, target length), for each target token the place of the source token that it
                translates; a place of padding for one that translates none. Absent, there is one language.
            target_language_ids: (batch, 1) or (batch, target length); those of the source when absent.
            target_attention_mask: as `attention_mask`, of the target; all attend to all when absent.
            target_position_ids: (batch, target length); counted through `target_attention_mask` when absent.
            **kwargs: `output_hidden_states`, `output_attentions`, `return_dict`; what attention kernels take.

        Returns:
            As XPT: the states of the target's tokens where there is an alignment.

        Raises:
            ValueError: as XPT; what a target has without an alignment; an alignment of another shape.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        given: Any = input_ids if input_ids is not None else inputs_embeds
        of_target = (target_language_ids, target_attention_mask, target_position_ids)
        self._check_target(given, alignment, of_target)
        told = position_ids  # as in RoBERTa: flash attention finds packed sequences by them
        if position_ids is None:
            self._check_length(given)
            position_ids = self._positions(input_ids, given)
        kwargs.pop("use_cache", None)  # put there by the decorator; an encoder layer takes none
        if language_ids is None:
            language_ids = given.new_full((1, 1), self.config.default_language, dtype=torch.long)
        if inputs_embeds is None:
            inputs_embeds = self.embeddings.word_embeddings(input_ids)
        hidden = self.embeddings(
            None, token_type_ids, position_ids, inputs_embeds + self.language_embeddings(language_ids)
        )
        layers, half = self.encoder.layer, len(self.encoder.layer) // 2
        mask = self._layer_mask(attention_mask, hidden)
        for layer in (*self.itl_in, *layers[:half]):
            hidden = layer(hidden, mask, position_ids=told, **kwargs)
        if alignment is not None:
            told = position_ids = target_position_ids
            if position_ids is None:
                position_ids = self._target_positions(alignment, target_attention_mask)
            language_ids = language_ids if target_language_ids is None else target_language_ids
            hidden = hidden.gather(1, alignment.unsqueeze(-1).expand(-1, -1, hidden.shape[-1]))
            mask = self._layer_mask(target_attention_mask, hidden)
        position = self.embeddings.position_embeddings(position_ids)
        hidden = hidden + self.language_embeddings(language_ids) + position
        for layer in (self.tri, *layers[half:], *self.itl_out):
            hidden = layer(hidden, mask, position_ids=told, **kwargs)
        pooled = self.pooler(hidden) if self.pooler is not None else None
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=hidden, pooler_output=pooled)

    def _positions(self, input_ids: Tensor | None, given: Tensor) -> Tensor:
        """As RoBERTa counts them: through the tokens that are no padding, or all that is embedded."""
        padding = self.embeddings.padding_idx
        if input_ids is not None:
            return self.embeddings.create_position_ids_from_input_ids(input_ids, padding)
        return self.embeddings.create_position_ids_from_inputs_embeds(given, padding)

    def _target_positions(self, alignment: Tensor, mask: Tensor | None) -> Tensor:
        padding = self.embeddings.padding_idx
        if mask is None:
            mask = torch.ones_like(alignment)
        if mask.dim() != 2:
            raise ValueError("a target_attention_mask of four dimensions needs target_position_ids beside it")
        seen = mask.ne(0).long()
        return seen.cumsum(1) * seen + padding

    def _check_target(
        self, given: Tensor, alignment: Tensor | None, others: tuple[Tensor | None, ...]
    ) -> None:
        """Refuse what would be silently left out, and an alignment that is none."""
        if alignment is None:
            if any(one is not None for one in others):
                raise ValueError("what is said of a target needs an alignment, which is not there")
            return
        if alignment.dim() != 2 or len(alignment) != len(given):
            raise ValueError(
                f"alignment has the shape {tuple(alignment.shape)}: give (batch, target length), the place "
                f"of a source token for each target token of {len(given)} texts"
            )
        usable = self.config.max_position_embeddings - self.embeddings.padding_idx - 1
        if alignment.shape[1] > usable:
            raise ValueError(
                f"a target of {alignment.shape[1]} tokens is longer than the {usable} positions of this model"
            )


class _OnTreLM(XPTRobertaPreTrainedModel):
    """What the heads of XPT need to stand on a TreLM."""

    config_class = TreLMRobertaConfig
    backbone_class = TreLMRobertaModel


class TreLMRobertaForMaskedLM(_OnTreLM, XPTRobertaForMaskedLM):
    """The backbone with RoBERTa's language-model head, whose output matrix is the word embeddings.

    With an `alignment`, `labels` are of the target's tokens: (batch, target length).
    """

    accepts_loss_kwargs = True


class TreLMRobertaForSequenceClassification(_OnTreLM, XPTRobertaForSequenceClassification):
    """The backbone with RoBERTa's head for one label, or one number, a sequence."""


class TreLMRobertaForTokenClassification(_OnTreLM, XPTRobertaForTokenClassification):
    """The backbone with RoBERTa's head for one label a token."""


class TreLMRobertaForQuestionAnswering(_OnTreLM, XPTRobertaForQuestionAnswering):
    """The backbone with RoBERTa's head for the first and the last token of an answer."""


class TreLMRobertaForMultipleChoice(_OnTreLM, XPTRobertaForMultipleChoice):
    """The backbone with RoBERTa's head for the best of several sequences."""


_MODELS = {name: globals()[path.split(".")[1]] for name, path in AUTO_MAP.items() if name != "AutoConfig"}
for _auto_class, _model in _MODELS.items():
    _model.register_for_auto_class(_auto_class)  # so that saving copies the code files
if __name__ == "modeling_trelm":
    # The installed module, not a checkpoint's copy: see modeling_xpt.py.
    transformers.AutoConfig.register(TreLMRobertaConfig.model_type, TreLMRobertaConfig, exist_ok=True)
    for _auto_class, _model in _MODELS.items():
        getattr(transformers, _auto_class).register(TreLMRobertaConfig, _model, exist_ok=True)
