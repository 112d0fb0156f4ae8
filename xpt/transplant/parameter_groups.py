"""The parts of a model by name: groups of its parameters, and where a checkpoint keeps its adapters."""

import re
from typing import Any

from peft.utils import CONFIG_NAME

from xpt.transplant.architectures import is_causal

_LAYER = "layers.{}"  # in a decoder ITLs are layers as others are
# The first pattern that matches a parameter's name gives its group; a dotted group belongs to its stem.
GROUP_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"\.lora_[AB]\.", "lora"),
    (r"\.(?:word_embeddings|embed_tokens|embed_in)\.", "word_embeddings"),
    (r"\.language_embeddings\.", "language_embeddings"),
    (r"\.tri\.", "tri"),
    (r"\.embeddings\.(position|token_type)_embeddings\.", "source_embeddings.{}"),
    (r"\.embeddings\.LayerNorm\.", "source_embeddings.norm"),
    (r"\.itl_(in|out)\.", "itl.{}"),
    (r"\.encoder\.layer\.(\d+)\.", "encoder.{}"),
    (r"^lm_head\.(?:dense|layer_norm)\.", "lm_head_transform"),
    (r"^lm_head\.(?:decoder\.)?bias$", "lm_head_bias"),
    # A ModernBERT's names, then a decoder's.
    (r"\.embeddings\.tok_embeddings\.", "word_embeddings"),
    (r"\.embeddings\.norm\.", "source_embeddings.norm"),
    (r"^model\.final_norm\.", "encoder.norm"),
    (r"^head\.(?:dense|norm)\.", "lm_head_transform"),
    (r"^decoder\.bias$", "lm_head_bias"),
    (r"^(?:lm_head|embed_out)\.weight$", "output_embeddings"),
    (r"^\w+\.(?:norm|final_layer_norm)\.", "final_norm"),
    (r"^\w+\.layers\.(\d+)\.", _LAYER),
)
XPT_GROUPS = ("word_embeddings", "source_embeddings", "itl", "encoder", "lm_head_transform", "lm_head_bias")
GROUPS = (*XPT_GROUPS, "language_embeddings", "tri")  # with those of a TreLM
DECODER_GROUPS = ("word_embeddings", "output_embeddings", "itl", "encoder", "final_norm")
ALL_GROUPS = tuple(dict.fromkeys((*GROUPS, *DECODER_GROUPS)))
ADAPTER_FOLDER = "adapter"
ADAPTER_CONFIG = f"{ADAPTER_FOLDER}/{CONFIG_NAME}"


def parameter_group(name: str, config: Any = None) -> str:
    """The group of a parameter of a language model, by its name: `itl.in`, `encoder.3`, `tri`, ...

    Args:
        name: of the parameter.
        config: of the model; a decoder's says how many of its layers are ITLs.
    """
    for pattern, group in GROUP_PATTERNS:
        match = re.search(pattern, name)
        if match and group == _LAYER:
            return _of_layer(int(match[1]), config)
        if match:
            return group.format(*match.groups())
    raise ValueError(f"parameter {name!r} belongs to no group")


def _of_layer(number: int, config: Any) -> str:
    """Of a numbered layer the group that it is; of a decoder's the first ones and the last ones are ITLs."""
    if config is None or not is_causal(config):
        return f"encoder.{number}"
    first = getattr(config, "num_itl_in", 0)
    last = config.num_hidden_layers - getattr(config, "num_itl_out", 0)
    if first <= number < last:
        return f"encoder.{number - first}"
    return "itl.in" if number < first else "itl.out"
