"""Opening a ModernBERT as a source, stock or post-trained: its configuration and tensors, in its words."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor
from transformers import ModernBertConfig, PreTrainedConfig

from configuration_xpt_modernbert import XPTModernBertConfig
from xpt.program.errors import XPTError
from xpt.transplant.architectures import ITL_COUNTS, MODERNBERT
from xpt.transplant.decoder_source import SIZES
from xpt.transplant.source_files import CONFIG, one_line
from xpt.transplant.source_tensors import check_tensors

BASE = "model."  # what stands before the backbone's tensors, but not in a file of the backbone alone
OF_BACKBONE = ("embeddings.", "itl_in.", "layers.", "itl_out.", "final_norm.")
OUTPUT_MATRIX = "decoder.weight"  # tied to the word embeddings
# Fields by which older files say what `rope_parameters` and `layer_types` say today.
OLDER_FIELDS = {"global_attn_every_n_layers", "global_rope_theta", "local_rope_theta", "rope_scaling"}


def read_modernbert_config(raw: dict[str, Any], name: str) -> Any:
    """The configuration by the class of its `model_type`, of the fields that are this class's own.

    Raises `XPTError` for what describes no such model, or computes otherwise.
    """
    is_xpt = raw["model_type"] == XPTModernBertConfig.model_type
    kind = XPTModernBertConfig if is_xpt else ModernBertConfig
    found = f"source {name!r} is of type {raw['model_type']!r}"
    if raw.get("quantization_config"):
        raise XPTError(f"{found} and quantized; give the checkpoint that it was made from")
    if raw.get("auto_map") and not is_xpt:  # which names our own code, and none is run
        raise XPTError(f"{found} but computes with code of its own (auto_map), which is not run")
    if raw.get("tie_word_embeddings", True) is not True:
        raise XPTError(
            f"{found}, and its output matrix is not its word embeddings (tie_word_embeddings is false), but "
            "an XPT model has one table for both; give a source that is tied"
        )
    own = {entry.name for entry in fields(kind)} - {entry.name for entry in fields(PreTrainedConfig)}
    own = own - {"sparse_prediction"} | OLDER_FIELDS
    own |= {"pad_token_id", *(ITL_COUNTS if is_xpt else ())}
    try:
        config: Any = kind(**{field: value for field, value in raw.items() if field in own})
        for size in (*SIZES, "max_position_embeddings"):
            if type(value := getattr(config, size)) is not int or value < 1:
                raise ValueError(f"{size} is {value!r}")
        if len(config.layer_types) != config.num_hidden_layers:
            raise ValueError("layer_types is not as long as there are layers")
    except Exception as error:  # a field may be of any kind, and each has its own ways to be refused
        raise XPTError(f"{found}, but its {CONFIG} describes no model: {one_line(error)}") from error
    return config


def rename(stored: str) -> str | None:
    """The class's own name of a stored tensor; None for what it does not need."""
    if stored == OUTPUT_MATRIX:
        return None
    return BASE + stored if stored.startswith(OF_BACKBONE) else stored


class ModernBertShapes:
    """The tensors that a ModernBERT of this configuration has; raises `XPTError` where it describes none."""

    def __init__(self, config: Any, name: str) -> None:
        described = config.to_dict()
        counts = {side: getattr(config, side, 0) for side in ITL_COUNTS}
        # A config may claim billions, so the second layer stands for all behind it.
        described |= {"num_hidden_layers": min(config.num_hidden_layers, 2)}
        described |= {"layer_types": config.layer_types[:2]}
        described |= {side: min(count, 1) for side, count in counts.items()}
        described.pop("model_type", None)
        try:
            with torch.device("meta"):
                model = MODERNBERT.model(MODERNBERT.config(**described))
        except Exception as error:
            raise XPTError(f"source {name!r}: its {CONFIG} describes no model: {one_line(error)}") from error
        self.shapes = {key: tensor.shape for key, tensor in model.named_parameters()}
        self.repeated = {f"{MODERNBERT.layout.layers}1.": config.num_hidden_layers}
        self.repeated |= {f"{BASE}{side.removeprefix('num_')}.0.": count for side, count in counts.items()}

    def check(self, tensors: dict[str, Tensor], name: str) -> None:
        """Raise `XPTError` unless `tensors` are all there, no other, of the right shape, and finite.

        A checkpoint of the backbone alone has no head.
        """
        shapes = dict(self.shapes)
        for first, count in self.repeated.items():
            stem, start = first[:-2], int(first[-2])
            for key in [key for key in self.shapes if key.startswith(first)]:
                for number in range(start + 1, min(count, len(tensors) + 2)):  # more than there are is enough
                    shapes[f"{stem}{number}.{key.removeprefix(first)}"] = self.shapes[key]
        if not any(key.startswith(MODERNBERT.layout.head) for key in tensors):
            shapes = {key: shape for key, shape in shapes.items() if key.startswith(BASE) or key in tensors}
        check_tensors(tensors, shapes, name)
