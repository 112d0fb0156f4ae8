"""The families of encoders that can be a source: a table, one row a family.

A family qualifies when its layers, copied into RoBERTa's, give the source's own hidden states. A row says in
what it differs from RoBERTa: the names of its fields and tensors, which rows of its position table tokens
use, and which of its configurations compute something else. `REFUSED` says why other families do not qualify.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig

# Whose configurations and code are ours.
POST_TRAINED: dict[str, type[XPTRobertaConfig]] = {
    kind.model_type: kind for kind in (XPTRobertaConfig, TreLMRobertaConfig)
}

# RoBERTa's fields that a source decides; vocabulary, special ids and positions are the target's own.
SHARED_FIELDS = (
    "hidden_size num_attention_heads intermediate_size hidden_act layer_norm_eps "
    "type_vocab_size hidden_dropout_prob attention_probs_dropout_prob initializer_range"
).split()
SIZES = ("num_hidden_layers", "vocab_size", "max_position_embeddings")

OLD_NAMES = ((r"\.gamma$", ".weight"), (r"\.beta$", ".bias"))  # checkpoints converted from TensorFlow

Reader = Callable[[Any], Any]  # a configuration of the family's own class -> what it says


@dataclass(frozen=True)
class Family:
    """How one family's checkpoints read in RoBERTa's words.

    Args:
        prefix: what stands before the backbone's tensors in the checkpoint of a model with a head.
        first_position: the first used row of the position table.
        fields: RoBERTa's fields that the family names otherwise, or that never vary in it.
        renames: (regular expression, replacement), applied in order to each tensor's name without its prefix,
            after which names are those of `RobertaForMaskedLM` without "roberta.".
        unread: tensors, by regular expression, that no token's path through the layers touches.
        has_token_types: without them the new model's one row of token types is zero.
        added_tables: rows of each embedding table whose row 0 every token gets; it goes into the token types.
        head_activation: what the LM-head transform computes; RoBERTa's computes exact GELU whatever the
            layers do.
        unfit: why a configuration computes another function than RoBERTa's, None where it does not.
    """

    prefix: str
    first_position: Reader = lambda config: 0
    fields: Mapping[str, Reader] = field(default_factory=dict)
    renames: tuple[tuple[str, str], ...] = ()
    unread: str | None = None
    has_token_types: bool = True
    added_tables: Callable[[Any], dict[str, int]] = lambda config: {}
    head_activation: Reader = lambda config: "gelu"
    unfit: Callable[[Any], str | None] = lambda config: None

    def in_our_words(self, config: Any) -> dict[str, Any]:
        """The fields of an `XPTRobertaConfig` that describe the source."""
        return {name: self.fields.get(name, attrgetter(name))(config) for name in (*SHARED_FIELDS, *SIZES)}

    def rename(self, name: str) -> str | None:
        """A tensor's name in RoBERTa's words, None for an unread one; other names go through unchanged."""
        name = name.removeprefix(f"{self.prefix}.")
        for pattern, replacement in (*OLD_NAMES, *self.renames):
            name = re.sub(pattern, replacement, name)
        return None if self.unread and re.search(self.unread, name) else name


def _behind_padding(config: Any) -> Any:
    """RoBERTa counts positions from the padding id on: rows up to that one are never used by a token."""
    return config.pad_token_id + 1


def _narrow_embeddings(config: Any) -> str | None:
    if config.embedding_size == config.hidden_size:
        return None
    return (
        f"projects its word embeddings of width {config.embedding_size} to the {config.hidden_size} of its "
        "layers (embeddings_project), a step that RoBERTa does not have"
    )


def _xlm_variant(config: Any) -> str | None:
    if config.n_langs > 1 and config.use_lang_emb:
        return "adds an embedding of each token's language (use_lang_emb), which RoBERTa does not have"
    if config.causal or not config.is_encoder:
        return "attends to the left only (causal) or is no encoder (is_encoder)"
    if getattr(config, "pre_norm", False):
        return "normalizes before its layers (pre_norm), RoBERTa behind them"
    return None


_BERT_HEAD = (
    (r"^cls\.predictions\.transform\.dense\.", "lm_head.dense."),
    (r"^cls\.predictions\.transform\.LayerNorm\.", "lm_head.layer_norm."),
    (r"^cls\.predictions\.bias$", "lm_head.bias"),
)
_ATTENTION, _LAYER = r"encoder.layer.\1.attention", r"encoder.layer.\1"

ROBERTA = Family("roberta", _behind_padding)
BERT = Family("bert", renames=_BERT_HEAD, head_activation=lambda config: config.hidden_act)
XLM = Family(
    "transformer",
    fields={
        "intermediate_size": lambda config: 4 * config.emb_dim,
        "hidden_act": lambda config: "gelu" if config.gelu_activation else "relu",
        "type_vocab_size": lambda config: 1,
        "hidden_dropout_prob": lambda config: config.dropout,
        "attention_probs_dropout_prob": lambda config: config.attention_dropout,
        "initializer_range": lambda config: config.init_std,
    },
    renames=(
        (r"^embeddings\.weight$", "embeddings.word_embeddings.weight"),
        (r"^position_embeddings\.", "embeddings.position_embeddings."),
        (r"^layer_norm_emb\.", "embeddings.LayerNorm."),
        (r"^attentions\.(\d+)\.q_lin\.", rf"{_ATTENTION}.self.query."),
        (r"^attentions\.(\d+)\.k_lin\.", rf"{_ATTENTION}.self.key."),
        (r"^attentions\.(\d+)\.v_lin\.", rf"{_ATTENTION}.self.value."),
        (r"^attentions\.(\d+)\.out_lin\.", rf"{_ATTENTION}.output.dense."),
        (r"^layer_norm1\.(\d+)\.", rf"{_ATTENTION}.output.LayerNorm."),
        (r"^ffns\.(\d+)\.lin1\.", rf"{_LAYER}.intermediate.dense."),
        (r"^ffns\.(\d+)\.lin2\.", rf"{_LAYER}.output.dense."),
        (r"^layer_norm2\.(\d+)\.", rf"{_LAYER}.output.LayerNorm."),
    ),
    has_token_types=False,
    unfit=_xlm_variant,
)
DISTILBERT = Family(
    "distilbert",
    fields={
        "intermediate_size": lambda config: config.hidden_dim,
        "hidden_act": lambda config: config.activation,
        "layer_norm_eps": lambda config: 1e-12,
        "type_vocab_size": lambda config: 1,
        "hidden_dropout_prob": lambda config: config.dropout,
        "attention_probs_dropout_prob": lambda config: config.attention_dropout,
    },
    renames=(
        (r"^transformer\.layer\.", "encoder.layer."),
        (r"\.attention\.q_lin\.", ".attention.self.query."),
        (r"\.attention\.k_lin\.", ".attention.self.key."),
        (r"\.attention\.v_lin\.", ".attention.self.value."),
        (r"\.attention\.out_lin\.", ".attention.output.dense."),
        (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
        (r"\.ffn\.lin1\.", ".intermediate.dense."),
        (r"\.ffn\.lin2\.", ".output.dense."),
        (r"\.output_layer_norm\.", ".output.LayerNorm."),
        (r"^vocab_transform\.", "lm_head.dense."),
        (r"^vocab_layer_norm\.", "lm_head.layer_norm."),
        (r"^vocab_projector\.bias$", "lm_head.bias"),
    ),
    has_token_types=False,
    head_activation=lambda config: config.activation,
)
BART_OFFSET = 2  # rows before the first position's, a leftover of padding that counted
BART = Family(
    "model",
    lambda config: BART_OFFSET,
    fields={
        "max_position_embeddings": lambda config: config.max_position_embeddings + BART_OFFSET,
        "intermediate_size": lambda config: config.encoder_ffn_dim,
        "hidden_act": lambda config: config.activation_function,
        "layer_norm_eps": lambda config: 1e-5,
        "type_vocab_size": lambda config: 1,
        "hidden_dropout_prob": lambda config: config.dropout,
        "attention_probs_dropout_prob": lambda config: config.attention_dropout,
        "initializer_range": lambda config: config.init_std,
    },
    renames=(
        (r"^(shared|encoder\.embed_tokens)\.", "embeddings.word_embeddings."),
        (r"^encoder\.embed_positions\.", "embeddings.position_embeddings."),
        (r"^encoder\.layernorm_embedding\.", "embeddings.LayerNorm."),
        (r"^encoder\.layers\.(\d+)\.self_attn\.q_proj\.", rf"{_ATTENTION}.self.query."),
        (r"^encoder\.layers\.(\d+)\.self_attn\.k_proj\.", rf"{_ATTENTION}.self.key."),
        (r"^encoder\.layers\.(\d+)\.self_attn\.v_proj\.", rf"{_ATTENTION}.self.value."),
        (r"^encoder\.layers\.(\d+)\.self_attn\.out_proj\.", rf"{_ATTENTION}.output.dense."),
        (r"^encoder\.layers\.(\d+)\.self_attn_layer_norm\.", rf"{_ATTENTION}.output.LayerNorm."),
        (r"^encoder\.layers\.(\d+)\.fc1\.", rf"{_LAYER}.intermediate.dense."),
        (r"^encoder\.layers\.(\d+)\.fc2\.", rf"{_LAYER}.output.dense."),
        (r"^encoder\.layers\.(\d+)\.final_layer_norm\.", rf"{_LAYER}.output.LayerNorm."),
    ),
    has_token_types=False,
    unfit=lambda config: "rescales its word embeddings (scale_embedding)" if config.scale_embedding else None,
)
FAMILIES: dict[str, Family] = {
    "roberta": ROBERTA,
    "camembert": ROBERTA,
    "xlm-roberta": ROBERTA,
    "data2vec-text": Family("data2vec_text", _behind_padding),
    # Entities are inputs of their own; without any, words attend to words by the plain projections.
    "luke": Family("luke", _behind_padding, unread=r"\.(w2e|e2w|e2e)_query\."),
    "bert": BERT,
    "ernie": Family(
        "ernie",
        renames=_BERT_HEAD,
        head_activation=BERT.head_activation,
        added_tables=lambda config: (
            {"embeddings.task_type_embeddings.weight": config.task_type_vocab_size}
            if config.use_task_id
            else {}
        ),
    ),
    "splinter": Family("splinter"),
    "electra": Family(
        "electra",
        renames=(
            (r"^generator_predictions\.dense\.", "lm_head.dense."),
            (r"^generator_predictions\.LayerNorm\.", "lm_head.layer_norm."),
            (r"^generator_lm_head\.bias$", "lm_head.bias"),
        ),
        unfit=_narrow_embeddings,
    ),
    "distilbert": DISTILBERT,
    "xlm": XLM,
    "flaubert": XLM,
    "bart": BART,
    **dict.fromkeys(POST_TRAINED, ROBERTA),
}

_PROJECTED = "projects narrow word embeddings to the width of its layers, a step that RoBERTa does not have"
_PRE_NORM = "normalizes before each layer, RoBERTa behind it"
_ROTARY = "turns queries and keys by their positions (rotary), RoBERTa adds positions to the embeddings"
_RELATIVE = "adds relative positions to its attention, which RoBERTa does not have"
_DISENTANGLED = (
    f"{_RELATIVE}: an ITL would have to read its table, a row of its own in the table of architectures"
)
_STATE_SPACE = "has no attention but a state; it would need a row of its own in the table of architectures"
_APPROXIMATE = "approximates attention, which RoBERTa computes in full"
_LAYOUT = "reads where words stand on a page"
REFUSED: dict[str, str] = {
    "albert": _PROJECTED,
    "big_bird": "attends to blocks of a long text, RoBERTa to all",
    "canine": "reads characters and shortens the sequence",
    "convbert": "convolves inside its attention",
    "deberta": _DISENTANGLED,
    "deberta-v2": _DISENTANGLED,
    "esm": _PRE_NORM,
    "eurobert": _ROTARY,
    "falcon_mamba": _STATE_SPACE,
    "fnet": "has Fourier transforms for attention",
    "funnel": "shortens the sequence from block to block",
    "gemma": "is of the first Gemma's type; give a Gemma 2 or 3",
    "gemma3": "reads images, too; give its text model (gemma3_text)",
    "gpt2": "adds positions to its embeddings, which no decoder in the table of architectures does",
    "ibert": "computes with integers",
    "jina_embeddings_v3": _ROTARY,
    "layoutlm": _LAYOUT,
    "layoutlmv3": _LAYOUT,
    "lilt": _LAYOUT,
    "longformer": "attends to a window around each token, RoBERTa to all",
    "mamba": _STATE_SPACE,
    "mamba2": _STATE_SPACE,
    "markuplm": "reads where words stand in a markup tree",
    "mbart": _PRE_NORM,
    "megatron-bert": _PRE_NORM,
    "mobilebert": "squeezes each layer through a bottleneck",
    "mpnet": _RELATIVE,
    "mra": _APPROXIMATE,
    "nomic_bert": _ROTARY,
    "nystromformer": _APPROXIMATE,
    "rembert": _PROJECTED,
    "reformer": _APPROXIMATE,
    "roberta-prelayernorm": _PRE_NORM,
    "roc_bert": "adds the shapes and sounds of its characters to the embeddings",
    "roformer": _ROTARY,
    "squeezebert": "has grouped convolutions for projections",
    "t5": f"{_RELATIVE}, and as encoder and decoder in one would need three ITLs, not two",
    "xlm-roberta-xl": _PRE_NORM,
    "xlnet": _RELATIVE,
    "xmod": "passes an adapter of the text's language in each layer",
    "yoso": _APPROXIMATE,
}
