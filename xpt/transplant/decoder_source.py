"""Opening a decoder as a source: its configuration and its tensors, under the names of its own stock class.

Unlike an encoder, a decoder is not said in RoBERTa's words: the transplant builds its own class anew.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig

from xpt.program.errors import XPTError
from xpt.transplant.architectures import DECODERS, ITL_COUNTS, Architecture
from xpt.transplant.source_files import CONFIG, one_line
from xpt.transplant.source_tensors import check_tensors

# Fields by which older files say what `rope_parameters` and `layer_types` say today.
OLDER_FIELDS = (
    *("rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct", "rotary_emb_base"),
    *("rope_local_base_freq", "sliding_window_pattern"),
)
PER_LAYER = ("layer_types",)  # fields that say something of each layer
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
# Buffers that older releases stored.
BUFFERS = re.compile(r"(rotary_emb\.inv_freq|\.attention\.(masked_)?bias|\.masked_bias)$")


def read_decoder_config(raw: dict[str, Any], name: str) -> PreTrainedConfig:
    """The configuration by the family's class, of the fields that are this class's own.

    `num_hidden_layers` counts the source's layers without ITLs; `num_itl_in` and `num_itl_out` are there
    where it is post-trained. Raises `XPTError` for what describes no such model, or computes otherwise.
    """
    kind = DECODERS[raw["model_type"]].config
    found = f"source {name!r} is of type {raw['model_type']!r}"
    if raw.get("quantization_config"):
        raise XPTError(f"{found} and quantized; give the checkpoint that it was made from")
    if raw.get("auto_map"):
        raise XPTError(f"{found} but computes with code of its own (auto_map), which is not run")
    if raw.get("use_bidirectional_attention"):
        raise XPTError(f"{found} but reads both ways (use_bidirectional_attention); give a causal one")
    own = {entry.name for entry in fields(kind)} - {entry.name for entry in fields(PreTrainedConfig)}
    names = own | kind.attribute_map.keys() | set(OLDER_FIELDS)
    try:
        config: Any = kind(**{field: value for field, value in raw.items() if field in names})
        for size in SIZES:
            if type(value := getattr(config, size)) is not int or value < 1:
                raise ValueError(f"{size} is {value!r}")
        for field in PER_LAYER:
            if getattr(config, field, None) and len(getattr(config, field)) != config.num_hidden_layers:
                raise ValueError(f"{field} is not as long as there are layers")
        if ITL_COUNTS[0] in raw:
            for side in ITL_COUNTS:
                if type(count := raw.get(side, 0)) is not int or count < 0:
                    raise ValueError(f"{side} is {count!r}")
                setattr(config, side, count)
                config.num_hidden_layers -= count
            if config.num_hidden_layers < 1:
                raise ValueError("no layer is left between its ITLs")
    except Exception as error:  # a field may be of any kind, and each class has its own ways to refuse it
        raise XPTError(f"{found}, but its {CONFIG} describes no model: {one_line(error)}") from error
    return config


def with_layers(config: Any, count: int, **changes: Any) -> Any:
    """The same configuration for `count` layers in all; what says something of each is given or cut."""
    values = {name: value for name, value in config.to_dict().items() if name not in ITL_COUNTS}
    values |= {name: values[name][:count] for name in PER_LAYER if values.get(name)}
    return type(config).from_dict({**values, "num_hidden_layers": count, **changes})


def head_name(model: Any) -> str | None:
    """What the class calls its output matrix; None where that is tied to the word embeddings."""
    matrix = model.get_output_embeddings().weight
    return next((name for name, tensor in model.named_parameters() if tensor is matrix), None)


def own_names(model: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors by the names of the model's own class: some call the output matrix otherwise."""
    old, head = DECODERS[model.config.model_type].layout.old_head, head_name(model)
    return {head if head and name == old else name: tensor for name, tensor in tensors.items()}


class DecoderNames:
    """The tensors that a decoder of this configuration has, and what files call them.

    Raises `XPTError` where the configuration describes no model.
    """

    def __init__(self, config: Any, name: str) -> None:
        self.architecture: Architecture = DECODERS[config.model_type]
        self.layers = config.num_hidden_layers + sum(getattr(config, side, 0) for side in ITL_COUNTS)
        try:
            with torch.device("meta"):  # a config may claim billions, so one layer stands for all
                model = self.architecture.model(with_layers(config, 1))
        except Exception as error:
            raise XPTError(f"source {name!r}: its {CONFIG} describes no model: {one_line(error)}") from error
        self.tied = config.tie_word_embeddings
        self.head = None if self.tied else head_name(model)
        self.prefix = f"{model.base_model_prefix}."
        self.shapes = {key: tensor.shape for key, tensor in model.named_parameters() if key != self.head}
        self.head_shape = model.get_output_embeddings().weight.shape

    def rename(self, stored: str) -> str | None:
        """The class's own name of a stored tensor; None for what it does not need."""
        if BUFFERS.search(stored):
            return None
        if stored in ("lm_head.weight", self.architecture.layout.old_head):
            return self.head  # None where it is tied: it says once more what the word embeddings say
        return stored if stored.startswith(self.prefix) else self.prefix + stored  # of a model without head

    def check(self, tensors: dict[str, Tensor], name: str) -> None:
        """Raise `XPTError` unless `tensors` are all there, no other, of the right shape, and finite."""
        first = f"{self.architecture.layout.layers}0."
        shapes = {key: shape for key, shape in self.shapes.items() if not key.startswith(first)}
        for key in [key for key in self.shapes if key.startswith(first)]:
            for layer in range(min(self.layers, len(tensors))):  # one more than there are is enough
                shapes[key.replace(first, f"{self.architecture.layout.layers}{layer}.")] = self.shapes[key]
        if self.head in tensors:
            shapes[str(self.head)] = self.head_shape
        check_tensors(tensors, shapes, name)
