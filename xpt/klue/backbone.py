"""Any pre-trained model, opened as what stands under a task's head.

What passes through: a name or folder -> config, tokenizer, weights. Encoders, decoders and encoder-decoders
are told apart here, padding and the separator are settled, and what a model cannot do is said before
anything is trained.
"""

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

import modeling_xpt  # noqa: F401 (registers XPT with the Auto classes: no remote code is run)
from xpt.errors import XPTError
from xpt.klue.encoding import TextEncoder


class Kind(StrEnum):
    """How a model reads: both ways, left to right, or both ways before it writes."""

    ENCODER = "encoder"
    DECODER = "decoder"
    ENCODER_DECODER = "encoder-decoder"


@dataclass
class Backbone:
    """An opened model, before it gets a head.

    Args:
        name: as the user gave it: a folder or a Hub id.
        revision: branch, tag or commit on the Hub.
        config: its configuration, padding token settled.
        kind: how it reads.
        tokenizer: its own, a fast one, with a padding token.
    """

    name: str
    revision: str | None
    config: PretrainedConfig
    kind: Kind
    tokenizer: PreTrainedTokenizerFast
    new_tensors: tuple[str, ...] = ()  # of a loaded model, what the checkpoint lacks: its head

    @property
    def hidden_size(self) -> int:
        """Width of the last hidden state."""
        return int(getattr(self.config, "hidden_size", None) or self.config.d_model)

    @property
    def max_positions(self) -> int | None:
        """Tokens that a sequence may have; None where the model sets no limit."""
        return position_limit(self.config)

    @property
    def token_types(self) -> bool:
        """Whether the model tells two texts apart by their types."""
        return int(getattr(self.config, "type_vocab_size", 0) or 0) > 1

    def encoder_for(self, max_seq_length: int) -> TextEncoder:
        """The tokenizer as tasks use it, within what the model can read."""
        limit = self.max_positions
        length = max_seq_length if limit is None else min(max_seq_length, limit)
        return TextEncoder(self.tokenizer, length, self.token_types)

    def load(self, auto_class: Any, **changes: Any) -> PreTrainedModel:
        """The model with one of transformers' heads, new where the checkpoint lacks it; float32.

        Args:
            auto_class: `AutoModelForSequenceClassification`, ...
            **changes: fields of the configuration: `num_labels`, `id2label`, `problem_type`, ...

        Raises:
            XPTError: transformers has no such head for this kind of model.
        """
        for field, value in changes.items():
            setattr(self.config, field, value)
        if type(self.config) not in auto_class._model_mapping:
            raise XPTError(
                f"{self.name}: transformers has no {auto_class.__name__} for {self.config.model_type}"
            )
        return self._grown(self._read(auto_class))

    def load_encoder(self) -> PreTrainedModel:
        """The bare model that gives `last_hidden_state` (batch, length, hidden); of two stacks the first."""
        model = self._grown(self._read(AutoModel))
        return model.get_encoder() if self.kind is Kind.ENCODER_DECODER else model

    def _read(self, auto_class: Any) -> PreTrainedModel:
        model, report = auto_class.from_pretrained(
            self.name, revision=self.revision, config=self.config, dtype="float32", output_loading_info=True
        )
        self.new_tensors = tuple(sorted(report["missing_keys"]))
        return model

    def _grown(self, model: PreTrainedModel) -> PreTrainedModel:
        """With rows for the tokens that a task added to the tokenizer."""
        if len(self.tokenizer) > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(len(self.tokenizer))
            self.config.vocab_size = model.config.vocab_size  # a copy: from_pretrained does not share ours
        return model


def open_backbone(name: str, revision: str | None = None) -> Backbone:
    """Open a model's configuration and tokenizer; its weights are read when a head asks for them.

    Raises:
        XPTError: it is not there, or cannot be a backbone.
    """
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"  # else transformers asks a server to convert pickles
    try:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise XPTError(f"--model_name_or_path {name}: {' '.join(str(error).split())[:300]}") from error
    kind = _kind(name, config)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    config.pad_token_id = tokenizer.pad_token_id
    return Backbone(str(name), revision, config, kind, tokenizer)


def _kind(name: str, config: PretrainedConfig) -> Kind:
    if config.is_encoder_decoder:
        return Kind.ENCODER_DECODER
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING:
        return Kind.ENCODER
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return Kind.DECODER
    raise XPTError(f"--model_name_or_path {name}: {config.model_type} is no language model that reads text")


def position_limit(config: PretrainedConfig) -> int | None:
    """Tokens that a sequence may have, special ones included; None where positions are relative.

    RoBERTa counts positions from `pad_token_id` + 1, so that many rows of its table stay unused.
    """
    rows = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if rows is None or config.model_type in ("t5", "mt5", "umt5"):
        return None
    counted = ("roberta", "xlm-roberta", "camembert", "xpt-roberta", "data2vec-text", "roberta-prelayernorm")
    if config.model_type in (*counted, "xlm-roberta-xl", "longformer", "mpnet", "esm", "luke"):
        return int(rows) - int(config.pad_token_id or 0) - 1
    return int(rows)


def check_task(task: Any, backbone: Backbone) -> None:
    """Raise `XPTError` where a model of this kind makes no sense for a task (`xpt.klue.task.Task`)."""
    if backbone.kind is Kind.DECODER and not task.left_to_right:
        raise XPTError(
            f"{backbone.name}: {task.name} ({task.title}) needs a model that reads both ways, and a "
            f"{backbone.config.model_type} reads from left to right; take an encoder, or other tasks"
        )
