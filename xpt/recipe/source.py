"""What a user says of the source: the English model, and what is built around it."""

from dataclasses import dataclass
from typing import Literal

from xpt.program.settings import check_values, option, option_of
from xpt.transplant.architectures import ArchitectureName
from xpt.transplant.embeddings.settings import StartSettings
from xpt.transplant.settings import ItlInit, TransplantSettings


@dataclass
class SourceArguments:
    """Source: the English encoder or decoder, and what is built around it.

    Raises:
        XPTError: a value that is none of the choices.

    Example:
        >>> source = xpt.SourceArguments("FacebookAI/roberta-base", num_itl_in=2, embedding_init="static")
        >>> source.source_model_name_or_path, source.itl_init
        ('FacebookAI/roberta-base', 'auto')
    """

    source_model_name_or_path: str | None = option(
        None,
        "English encoder or decoder, Hub id or folder (families: docs/sources.md; P21: RoBERTa), or an XPT "
        "or TreLM checkpoint, which is trained further. Default: none, it must be given.",
    )
    source_revision: str | None = option(
        None, "Branch, tag or commit of the source on the Hub. Default: its newest."
    )
    source_num_layers: int | None = option_of(TransplantSettings, "source_num_layers")
    architecture: ArchitectureName = option_of(TransplantSettings, "architecture")
    layers_init: Literal["copy", "random"] = option_of(TransplantSettings, "layers_init")
    num_itl_in: int | None = option_of(TransplantSettings, "num_itl_in")
    num_itl_out: int | None = option_of(TransplantSettings, "num_itl_out")
    itl_init: ItlInit = option_of(TransplantSettings, "itl_init")
    lm_head_init: Literal["auto", "copy", "random"] = option_of(TransplantSettings, "lm_head_init")
    keep_vocabulary: bool | None = option(
        None,
        "Of an XPT or TreLM source: keep tokenizer, word embeddings and output bias. Default: unless "
        "tokenizer_name_or_path names another tokenizer; false without one trains a new one.",
    )
    embedding_init: str = option_of(StartSettings, "embedding_init")
    overlap_rest: str = option_of(StartSettings, "overlap_rest")
    dictionary: str | None = option_of(StartSettings, "dictionary")
    source_text: list[str] | None = option_of(StartSettings, "source_text")
    parallel: str | None = option_of(StartSettings, "parallel")
    alignments: str | None = option_of(StartSettings, "alignments")
    donor: str | None = option_of(StartSettings, "donor")
    embedding_scale: str = option_of(StartSettings, "embedding_scale")
    output_bias_init: Literal["unigram", "zero", "mixed"] = option(
        "unigram",
        "Output bias, which no decoder has: log unigram frequencies of the training split, zero (P21), or "
        "the source's, mixed as the embeddings are (mixed).",
    )

    def __post_init__(self) -> None:
        check_values(self)
