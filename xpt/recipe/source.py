"""What a user says of the source: the English encoder, and what is built around it."""

from dataclasses import dataclass
from typing import Literal

from xpt.program.options import option
from xpt.transplant.embeddings import EMBEDDING_INITS


@dataclass
class SourceArguments:
    """Source: the English encoder, and what is built around it."""

    source_model_name_or_path: str | None = option(
        None,
        "English encoder, Hub id or folder (the README lists families; P21: RoBERTa), or an XPT checkpoint, "
        "which is trained further. Default: none, it must be given.",
    )
    source_revision: str | None = option(
        None, "Branch, tag or commit of the source on the Hub. Default: its newest."
    )
    source_num_layers: int | None = option(
        None, "Keep the source's first layers only. Default: all. Fewer learn more per minute on a CPU."
    )
    layers_init: Literal["copy", "random"] = option(
        "copy", "random: the control that takes the source's shape and copies nothing of it."
    )
    num_itl_in: int | None = option(
        None,
        "Implicit Translation Layers before the first English layer. Default: 1 (P21), or an XPT source's.",
    )
    num_itl_out: int | None = option(
        None, "Implicit Translation Layers after the last English layer. Default: as num_itl_in."
    )
    itl_init: Literal["auto", "random", "near_identity", "copy"] = option(
        "auto",
        "Start of the ITLs: an XPT source's own, else random (auto); random (P21); random with small "
        "outputs; or copies of the nearest layer.",
    )
    lm_head_init: Literal["auto", "copy", "random"] = option(
        "auto",
        "LM-head transform: copied where the source has one that computes the same (auto), always, or never "
        "(RE22).",
    )
    keep_vocabulary: bool | None = option(
        None,
        "Of an XPT source: keep tokenizer, word embeddings and output bias. Default: unless "
        "tokenizer_name_or_path names another tokenizer; false without one trains a new one.",
    )
    embedding_init: str = option(
        "random",
        "New word embeddings: random (P21), random with the source's statistics, or distributional vectors "
        "of the target text (learns most where compute is short).",
        choices=list(EMBEDDING_INITS),
    )
    output_bias_init: Literal["unigram", "zero"] = option(
        "unigram", "Output bias: log unigram frequencies of the training split, or zero (P21)."
    )
