"""Opening an English checkpoint and making sure that it is whole.

What passes through: `config.json` and safetensors, nothing else; no code of the source is run and no pickle
opened. What comes out, a `Source`, speaks RoBERTa's words whatever its family, so the transplant need not
know families.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig, RobertaConfig, RobertaForMaskedLM

from xpt.errors import XPTError
from xpt.families import FAMILIES, SHARED_FIELDS
from xpt.source_files import CONFIG, SourceFiles

BODY = ("embeddings.", "encoder.")
HEAD = "lm_head."
HEAD_TENSORS = tuple(
    f"{HEAD}{part}.{kind}" for part in ("dense", "layer_norm") for kind in ("weight", "bias")
)
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SUPPORTED = f"supported are encoders of the families {', '.join(FAMILIES)}"


@dataclass(frozen=True, eq=False)
class Source:
    """An opened, verified English checkpoint.

    `body` holds embeddings and layers under RoBERTa's names without prefix; `head` the LM-head transform
    under `dense.*` and `layer_norm.*`, or None; all float32. `sha256` covers names and bytes of all of them.
    `commit` is that of the Hub, None for a folder.
    """

    name: str
    config: PreTrainedConfig
    body: dict[str, Tensor]
    head: dict[str, Tensor] | None
    sha256: str
    commit: str | None = None

    @property
    def family(self) -> str:
        """transformers' `model_type`, a key of `FAMILIES`."""
        return self.config.model_type

    @property
    def word_embeddings(self) -> Tensor:
        """(source vocabulary, hidden)."""
        return self.body["embeddings.word_embeddings.weight"]

    @property
    def used_positions(self) -> Tensor:
        """The rows that the source's tokens use, first position first: (positions, hidden)."""
        first = FAMILIES[self.family].first_position(self.config)
        return self.body["embeddings.position_embeddings.weight"][first:]

    @property
    def lm_head_activation(self) -> str:
        """What the source's LM head computes, by transformers' name."""
        return "gelu" if FAMILIES[self.family].exact_gelu_head else self.config.hidden_act

    def describe(self) -> dict[str, Any]:
        """For records. A folder is named by its last part: the path is the machine's own."""
        return {
            "name": self.name if self.commit else Path(self.name).name,
            "family": self.family,
            "revision": self.commit,
            "sha256": self.sha256,
            "layers": self.config.num_hidden_layers,
            "hidden_size": self.config.hidden_size,
            "has_lm_head": self.head is not None,
        }


def open_source(name_or_path: str | None, revision: str | None = None) -> Source:
    """Open and verify an English checkpoint.

    Args:
        name_or_path: a folder with `config.json` and safetensors, or a Hub id.
        revision: branch, tag or commit on the Hub.

    Raises:
        XPTError: it is not there, not whole, or not an encoder of a supported family.
    """
    if not name_or_path:
        raise XPTError("no source: give --source_model_name_or_path, an English encoder's Hub id or folder")
    files = SourceFiles(str(name_or_path), revision)
    config = _read_config(files)
    expected = _expected_shapes(config, files.name)  # before any large file is fetched
    tensors = _read_tensors(files.weights(), config, files.name)
    _check_tensors(tensors, expected, config, files.name)
    body = {key: tensor for key, tensor in tensors.items() if key.startswith(BODY)}
    head = {key.removeprefix(HEAD): tensor for key, tensor in tensors.items() if key.startswith(HEAD)}
    return Source(files.name, config, body, head or None, _sha256({**body, **head}), files.commit)


def _read_config(files: SourceFiles) -> PreTrainedConfig:
    """The source's configuration, as its family's class reads it; raises `XPTError` for any other model."""
    raw = files.read_json(CONFIG)
    model_type = raw.pop("model_type", None)
    found = f"source {files.name!r} is of type {model_type!r}"
    if raw.get("architectures"):
        found += f" ({', '.join(map(str, raw['architectures']))})"
    if model_type == "xpt-roberta":
        raise XPTError(f"{found}, which is post-trained already; give the English encoder; {SUPPORTED}")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise XPTError(f"{found}; {SUPPORTED}")
    if raw.get("is_decoder") or raw.get("add_cross_attention"):
        raise XPTError(f"{found} and a decoder (is_decoder or add_cross_attention is true); {SUPPORTED}")
    if raw.get("auto_map"):
        raise XPTError(f"{found} but computes with code of its own (auto_map), which is not run; {SUPPORTED}")
    if raw.get("position_embedding_type", "absolute") != "absolute":
        kind = raw["position_embedding_type"]
        raise XPTError(f"{found} with positions of type {kind!r}; supported are absolute positions")
    try:
        return AutoConfig.for_model(model_type, **raw)
    except Exception as error:  # each config class has its own ways to refuse a value
        raise XPTError(f"{found}, but its {CONFIG} is not in order: {_one_line(error)}") from error


def _expected_shapes(config: PreTrainedConfig, name: str) -> dict[str, torch.Size]:
    """Shapes of all tensors a source must have, by RoBERTa's names; layer 0 stands for all layers."""
    family = FAMILIES[config.model_type]
    try:
        fields = {name: getattr(config, name) for name in SHARED_FIELDS}
        positions, layers = config.max_position_embeddings, config.num_hidden_layers
        with torch.device("meta"):
            fields |= {"vocab_size": config.vocab_size, "max_position_embeddings": positions}
            model = RobertaForMaskedLM(RobertaConfig(num_hidden_layers=1, **fields))
        if not 0 <= family.first_position(config) < positions or layers < 1:
            raise ValueError(f"{positions} positions with padding id {config.pad_token_id}, {layers} layers")
    except Exception as error:  # a config may hold any number, and torch any complaint about it
        raise XPTError(f"source {name!r}: its {CONFIG} describes no model: {_one_line(error)}") from error
    return {key.removeprefix("roberta."): tensor.shape for key, tensor in model.named_parameters()}


def _read_tensors(paths: list[Path], config: PreTrainedConfig, name: str) -> dict[str, Tensor]:
    """All tensors of backbone and LM-head transform that the files hold, by RoBERTa's names, float32."""
    family = FAMILIES[config.model_type]
    tensors: dict[str, Tensor] = {}
    for path in paths:
        try:
            stored = load_file(path)
        except (SafetensorError, OSError) as error:
            raise XPTError(
                f"source {name!r}: {path.name} is no whole safetensors file ({_one_line(error)}); get it anew"
            ) from error
        for stored_name, tensor in stored.items():
            key = family.rename(stored_name)
            if key.endswith("_ids") or not (key.startswith(BODY) or key in HEAD_TENSORS):
                continue  # buffers that older releases stored, poolers, other heads
            if key in tensors:
                raise XPTError(f"source {name!r} holds {key} twice; get the checkpoint again")
            if tensor.dtype not in FLOATS:
                raise XPTError(
                    f"source {name!r}: {stored_name} is {tensor.dtype}; give one that is not quantized"
                )
            tensors[key] = tensor.to(torch.float32, copy=True)  # not the file's memory, which may yet change
    return tensors


def _check_tensors(
    tensors: dict[str, Tensor], expected: dict[str, torch.Size], config: PreTrainedConfig, name: str
) -> None:
    """Raise `XPTError` unless `tensors` are what `config` describes: all, no other, of the right shape."""
    shapes = {key: shape for key, shape in expected.items() if key.startswith(BODY)}
    for key in [key for key in shapes if ".layer.0." in key]:
        for layer in range(min(config.num_hidden_layers, len(tensors))):  # a config may claim billions
            shapes[key.replace(".layer.0.", f".layer.{layer}.")] = shapes[key]
    if any(key in tensors for key in HEAD_TENSORS):
        shapes |= {key: expected[key] for key in HEAD_TENSORS}
    missing = [key for key in shapes if key not in tensors]
    if missing:
        raise XPTError(
            f"source {name!r} lacks {missing[0]} ({len(missing)} of {len(shapes)} tensors are missing); "
            "get the whole checkpoint"
        )
    for key, tensor in tensors.items():
        if key not in shapes:
            raise XPTError(f"source {name!r} holds {key}, which its {CONFIG} does not describe; {SUPPORTED}")
        if tensor.shape != shapes[key]:
            raise XPTError(
                f"source {name!r}: {key} has the shape {tuple(tensor.shape)}, "
                f"but its {CONFIG} describes {tuple(shapes[key])}; get the checkpoint again"
            )
        if not torch.isfinite(tensor).all():
            raise XPTError(f"source {name!r}: {key} holds values that are not finite; get it again")


def _sha256(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors.items()):
        digest.update(key.encode())
        digest.update(tensor.numpy())
    return digest.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
