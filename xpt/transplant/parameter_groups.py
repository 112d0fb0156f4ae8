"""The parts of a model by name: groups of its parameters, and where a checkpoint keeps its adapters."""

import re

from peft.utils import CONFIG_NAME

# The first pattern that matches a parameter's name gives its group; a dotted group belongs to its stem.
GROUP_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"\.lora_[AB]\.", "lora"),
    (r"\.word_embeddings\.", "word_embeddings"),
    (r"\.language_embeddings\.", "language_embeddings"),
    (r"\.tri\.", "tri"),
    (r"\.embeddings\.(position|token_type)_embeddings\.", "source_embeddings.{}"),
    (r"\.embeddings\.LayerNorm\.", "source_embeddings.norm"),
    (r"\.itl_(in|out)\.", "itl.{}"),
    (r"\.encoder\.layer\.(\d+)\.", "encoder.{}"),
    (r"^lm_head\.(?:dense|layer_norm)\.", "lm_head_transform"),
    (r"^lm_head\.(?:decoder\.)?bias$", "lm_head_bias"),
    # A ModernBERT's names.
    (r"\.embeddings\.tok_embeddings\.", "word_embeddings"),
    (r"\.embeddings\.norm\.", "source_embeddings.norm"),
    (r"^model\.layers\.(\d+)\.", "encoder.{}"),
    (r"^model\.final_norm\.", "encoder.norm"),
    (r"^head\.(?:dense|norm)\.", "lm_head_transform"),
    (r"^decoder\.bias$", "lm_head_bias"),
)
XPT_GROUPS = ("word_embeddings", "source_embeddings", "itl", "encoder", "lm_head_transform", "lm_head_bias")
GROUPS = (*XPT_GROUPS, "language_embeddings", "tri")  # with those of a TreLM
ADAPTER_FOLDER = "adapter"
ADAPTER_CONFIG = f"{ADAPTER_FOLDER}/{CONFIG_NAME}"


def parameter_group(name: str) -> str:
    """The group of a parameter of a masked language model, by its name: `itl.in`, `encoder.3`, `tri`, ..."""
    for pattern, group in GROUP_PATTERNS:
        match = re.search(pattern, name)
        if match:
            return group.format(*match.groups())
    raise ValueError(f"parameter {name!r} belongs to no group")
