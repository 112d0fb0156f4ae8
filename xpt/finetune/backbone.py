"""Any pre-trained model, opened as what stands under a task's head.

What passes through: a name or folder -> config, tokenizer, weights. Encoders, decoders and encoder-decoders
are told apart here, padding and the separator are settled, and what a model cannot do is said before
anything is trained.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModel,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging

import modeling_trelm  # noqa: F401 (registers XPT and TreLM with the Auto classes: no remote code is run)
import modeling_xpt_modernbert  # noqa: F401 (so, too)
from xpt.finetune.encoding import TextEncoder
from xpt.finetune.model_tokenizer import end_sequences, open_tokenizer
from xpt.program.errors import XPTError
from xpt.survey.names import opening_of
from xpt.text.special_tokens import id_count

RELATIVE = ("t5", "mt5", "umt5")  # positions are distances: any length can be read
# Positions are counted from the padding's row on, as fairseq does.
COUNTED_FROM_PADDING = (
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert"),
    *("xpt-roberta", "trelm-roberta", "data2vec-text", "longformer", "mpnet", "esm", "luke", "xmod", "ibert"),
)


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
    known_positions: int | None = None  # tokens that the model is known to read, fewer than it has rows for
    dtype: str = "float32"  # of the loaded weights
    new_tensors: tuple[str, ...] = ()  # of a loaded model, what the checkpoint lacks: its head
    new_tokens: tuple[int, ...] = ()  # of a loaded model, tokens whose embedding the checkpoint lacks

    def __post_init__(self) -> None:
        self._own_ids = id_count(self.tokenizer)  # before a task adds its own

    @property
    def hidden_size(self) -> int:
        """Width of the last hidden state."""
        return int(getattr(self.config, "hidden_size", None) or self.config.d_model)

    @property
    def max_positions(self) -> int | None:
        """Tokens that a sequence may have; None where the model sets no limit."""
        limits = (position_limit(self.config), self.known_positions)
        return min((limit for limit in limits if limit is not None), default=None)

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
        """The model with one of transformers' heads, new where the checkpoint lacks it.

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
                f"{self.name}: transformers has no {auto_class.__name__} for {self.config.model_type}; "
                "take a model of another family, or other tasks"
            )
        return self.load_as(auto_class)

    def load_as(self, model_class: Any) -> PreTrainedModel:
        """The model of a class, or Auto class, of transformers, as the configuration stands."""
        return self._grown(self._read(model_class))

    def load_encoder(self) -> PreTrainedModel:
        """The bare model that gives `last_hidden_state` (batch, length, hidden); of two stacks the first."""
        model = self.load_as(AutoModel)
        return model.get_encoder() if self.kind is Kind.ENCODER_DECODER else model

    def _read(self, model_class: Any) -> PreTrainedModel:
        """The weights, and what is new of them. Raises `XPTError` where a part of the body would be new."""
        try:
            with _only_errors():
                model, report = model_class.from_pretrained(
                    self.name,
                    revision=self.revision,
                    config=self.config,
                    dtype=self.dtype,
                    weights_only=True,  # of a pickle; what it would run is not run
                    ignore_mismatched_sizes=True,  # a head for other labels is replaced; bodies are checked
                    output_loading_info=True,
                )
        except (OSError, ValueError, RuntimeError, UnpicklingError, SafetensorError) as error:
            raise XPTError(f"{self.name}: its weights cannot be read: {_one_line(error)}") from error
        mismatched = {
            str(name): (tuple(found), tuple(wanted)) for name, found, wanted in report["mismatched_keys"]
        }
        self.new_tensors = tuple(sorted({*report["missing_keys"], *mismatched}))
        body = _bare_tensors(self.config)
        lost = [name for name in self.new_tensors if _is_of_body(name, body)]
        if lost:
            shapes = mismatched.get(lost[0])
            what = f"is {shapes[0]} where the configuration says {shapes[1]}" if shapes else "is missing"
            raise XPTError(
                f"{self.name}: {lost[0]} {what} ({len(lost)} tensors of the model would be "
                "random); get the model again"
            )
        return model

    def _grown(self, model: PreTrainedModel) -> PreTrainedModel:
        """With rows for the tokens that a task added to the tokenizer."""
        rows = model.get_input_embeddings().num_embeddings
        needed = id_count(self.tokenizer)
        self.new_tokens = tuple(range(min(rows, self._own_ids), needed))
        if needed > rows:
            with _only_errors():
                model.resize_token_embeddings(needed)
            self.config.vocab_size = model.config.vocab_size  # a copy: from_pretrained does not share ours
        return model


def head_modules(model: PreTrainedModel) -> list[str]:
    """Names of the modules, right under `model`, that are no part of the pre-trained body."""
    body = {model.base_model_prefix}
    if not isinstance(getattr(model, model.base_model_prefix, None), nn.Module):
        body = {name.split(".")[0] for name in _bare_tensors(model.config)}
    return [
        name
        for name, child in model.named_children()
        if name not in body and next(child.parameters(), None) is not None
    ]


def body_prefix(model: PreTrainedModel) -> str:
    """Where the body stands: "bert"; "" where its modules stand right under `model`."""
    prefix = model.base_model_prefix
    return prefix if isinstance(getattr(model, prefix, None), nn.Module) else ""


def _bare_tensors(config: PretrainedConfig) -> set[str]:
    """Names of the tensors of the model without any head."""
    with torch.device("meta"), _only_errors():
        return set(AutoModel.from_config(config).state_dict())


def _is_of_body(name: str, body: set[str]) -> bool:
    """Whether a tensor must come with the checkpoint; a pooler, which few objectives train, need not."""
    return "pooler" not in name.split(".") and (name in body or name.partition(".")[2] in body)


@contextmanager
def _only_errors() -> Iterator[None]:
    """Without transformers' table of what a checkpoint has and lacks: that is checked here."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]


def open_backbone(name: str, revision: str | None = None) -> Backbone:
    """Open a model's configuration and tokenizer; its weights are read when a head asks for them.

    Raises:
        XPTError: it is not there, or cannot be a backbone.
    """
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"  # else transformers asks a server to convert pickles
    place, opening = f"--model_name_or_path {name}", opening_of(name)
    try:
        with _only_errors():
            config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
            kind = _kind(place, config)
            tokenizer = open_tokenizer(name, revision, config, kind is Kind.ENCODER, opening)
    except (OSError, ValueError, KeyError, ImportError) as error:
        if "trust_remote_code" in str(error):
            raise XPTError(
                f"{place}: is made of code of its own, which is never run; take a model of a family that "
                "transformers has"
            ) from error
        raise XPTError(
            f"{place}: cannot be opened; give a folder with config.json, weights and tokenizer, or a Hub id: "
            f"{_one_line(error)}"
        ) from error
    if kind is Kind.ENCODER_DECODER:
        named = tokenizer.eos_token_id if config.eos_token_id is None else config.eos_token_id
        config.eos_token_id = end_sequences(tokenizer, name, named)
    if kind is not Kind.ENCODER or config.pad_token_id is None:
        # An encoder keeps its own: RoBERTa's positions are counted from it, whatever batches are padded with.
        config.pad_token_id = tokenizer.pad_token_id
    return Backbone(str(name), revision, config, kind, tokenizer, opening.positions)


def _kind(place: str, config: PretrainedConfig) -> Kind:
    if config.is_encoder_decoder:
        if type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
            return Kind.ENCODER_DECODER
    elif type(config) in MODEL_FOR_MASKED_LM_MAPPING:
        return Kind.ENCODER
    elif type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return Kind.DECODER
    raise XPTError(
        f"{place}: {config.model_type} is no language model that reads text; take an encoder such as BERT, a "
        "decoder such as GPT-2 or an encoder-decoder such as T5"
    )


def position_limit(config: PretrainedConfig) -> int | None:
    """Tokens that a sequence may have, special ones included; None where positions are relative.

    RoBERTa counts positions from `pad_token_id` + 1, so that many rows of its table stay unused.
    """
    rows = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if rows is None or config.model_type in RELATIVE:
        return None
    if config.model_type in COUNTED_FROM_PADDING:
        return int(rows) - int(config.pad_token_id or 0) - 1
    return int(rows)


def check_task(task: Any, backbone: Backbone) -> None:
    """Raise `XPTError` where a model of this kind makes no sense for a task (`xpt.finetune.task.Task`)."""
    if backbone.kind is Kind.DECODER and not task.left_to_right:
        raise XPTError(
            f"{backbone.name}: {task.name} ({task.title}) needs a model that reads both ways, and a "
            f"{backbone.config.model_type} reads from left to right; take an encoder, or other tasks"
        )
