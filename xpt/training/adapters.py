"""LoRA adapters of a phase: small low-rank updates learn beside encoder matrices that stay frozen.

peft makes the layers (Hu et al. 2021). This module says which matrices get one, starts them by seed and name,
keeps them beside the base weights in a checkpoint, and folds them into the weights. On disk the model's own
tensors keep their plain names, as if there were no adapters:

    model.safetensors                     the base weights
    adapter/adapter_model.safetensors     the adapters, as peft writes and reads them
    adapter/adapter_config.json

They stand in a folder of their own because transformers takes a model with an adapter_config.json beside it
for an adapter without a base.
"""

import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, LoraModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.hf_argparser import string_to_bool

from xpt.program.errors import XPTError
from xpt.program.seeding import seeded_generator
from xpt.transplant.parameter_groups import ADAPTER_FOLDER

ADAPTER_NAME = "default"  # peft's; a checkpoint does not hold it
STORED_PREFIX = "base_model.model."  # of tensor names in a file of peft
ALL_LINEAR = "all-linear"
MATRICES = ("query", "key", "value", "dense")  # of an encoder layer; all-linear means them


def whole_number(value: Any) -> int:
    """`value` as an integer; unlike `int`, 2.5 and true are refused. Raises `ValueError`."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError(f"{value!r} is no whole number")
    return int(value)


def _targets(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else tuple(map(str, value))
    return MATRICES if names == (ALL_LINEAR,) else names


def truth(value: Any) -> bool:
    """`value` as true or false. Raises `ValueError`."""
    try:
        return string_to_bool(value)
    except (AttributeError, ArgumentTypeError) as error:
        raise ValueError(f"{value!r} is neither true nor false") from error


ENTRIES: dict[str, Callable[[Any], Any]] = {
    "r": whole_number,
    "lora_alpha": whole_number,
    "lora_dropout": float,
    "target_modules": _targets,
    "merge": truth,
}


@dataclass(frozen=True)
class LoraSettings:
    """The adapters of one phase, in peft's words and with its defaults.

    Args:
        r: rank of the update.
        lora_alpha: the update is scaled by lora_alpha / r.
        lora_dropout: of the adapters' input.
        target_modules: ends of the names of encoder matrices: `query`, `attention.output.dense`, ...
        merge: whether the phase ends by folding the adapters into the weights.
    """

    r: int = 8
    lora_alpha: int = 8
    lora_dropout: float = 0.0
    target_modules: tuple[str, ...] = ("query", "value")
    merge: bool = True

    @classmethod
    def from_dict(cls, values: Any) -> "LoraSettings":
        """Adapters as a phase writes them. Raises `ValueError`, in one line, for what cannot be used."""
        if not isinstance(values, dict):
            raise ValueError(f"lora is {values!r}; give its entries, such as {{r: 8}}")
        unknown = sorted(set(map(str, values)) - set(ENTRIES))
        if unknown:
            raise ValueError(f"unknown entry {unknown[0]!r} of lora; it has {', '.join(ENTRIES)}")
        for entry, value in values.items():
            try:
                values = {**values, entry: ENTRIES[entry](value)}
            except (TypeError, ValueError) as error:
                raise ValueError(f"{entry} of lora: {error}") from error
        settings = cls(**values)
        settings.check()
        return settings

    def check(self) -> None:
        """Raise `ValueError` for numbers that make no adapter."""
        for entry in ("r", "lora_alpha"):
            if getattr(self, entry) < 1:
                raise ValueError(f"{entry} of lora is {getattr(self, entry)}; give at least 1")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout is {self.lora_dropout}; give a share from 0 to below 1")
        if not self.target_modules:
            raise ValueError(f"target_modules of lora is empty; name some of {', '.join(MATRICES)}")

    def to_dict(self) -> dict[str, Any]:
        """For records: plain JSON types."""
        return {**asdict(self), "target_modules": list(self.target_modules)}


# ---- a model with adapters -------------------------------------------------------------------------------


def attach_adapters(model: nn.Module, settings: LoraSettings, seed: int, phase: str) -> None:
    """Put adapters beside the chosen matrices; they change nothing until they have learned.

    Their start is a function of `seed`, `phase` and the tensor's name. Raises `XPTError` where a target is no
    matrix of the encoder's layers.
    """
    matrices = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for target in settings.target_modules:
        if not any(re.fullmatch(_pattern([target]), name) for name in matrices):
            raise XPTError(
                f"target_modules of lora: no encoder layer has a matrix {target!r}; there are query, key, "
                f"value, attention.output.dense, intermediate.dense, output.dense, and {ALL_LINEAR}"
            )
    config = LoraConfig(
        r=settings.r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=_pattern(settings.target_modules),
    )
    with torch.random.fork_rng(devices=[]):
        LoraModel(model, config, ADAPTER_NAME)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if ".lora_A." in name:  # B is 0, as in the paper
                drawn, generator = torch.empty(tensor.shape), seeded_generator(seed, f"{phase} {name}")
                nn.init.kaiming_uniform_(drawn, math.sqrt(5), generator=generator)
                tensor.copy_(drawn)


def _pattern(targets: Sequence[str]) -> str:
    """A regular expression for peft: these matrices, but not those of the ITLs, which learn as a whole."""
    return rf"(?:.*\.)?encoder\.layer\.\d+\.(?:.*\.)?(?:{'|'.join(map(re.escape, targets))})"


def has_adapters(model: nn.Module) -> bool:
    """Whether there are adapters beside the model's weights."""
    return bool(_adapted(model))


def merge_adapters(model: nn.Module) -> None:
    """Add each adapter's product to the matrix beside it; the model is then as if it never had any."""
    for layer in _adapted(model).values():
        layer.merge()
    remove_adapters(model)


def remove_adapters(model: nn.Module) -> None:
    """Take the adapters off, and what they have learned with them."""
    for name, layer in _adapted(model).items():
        model.set_submodule(name, layer.get_base_layer())
    if "peft_config" in vars(model):
        del model.peft_config


@contextmanager
def adapters_aside(model: nn.Module) -> Iterator[None]:
    """While open, the model is its base alone, under plain names."""
    adapted = _adapted(model)
    for name, layer in adapted.items():
        model.set_submodule(name, layer.get_base_layer())
    try:
        yield
    finally:
        for name, layer in adapted.items():
            model.set_submodule(name, layer)


def _adapted(model: nn.Module) -> dict[str, LoraLayer]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLayer)}


# ---- on disk ---------------------------------------------------------------------------------------------


def save_adapters(model: Any, folder: Path) -> None:
    """Write the adapters into `folder`/adapter, as `PeftModel.from_pretrained` reads them."""
    place = folder / ADAPTER_FOLDER
    place.mkdir()
    config = copy(model.peft_config[ADAPTER_NAME])
    config.inference_mode = True
    config.save_pretrained(place)
    tensors = {f"{STORED_PREFIX}{name}": tensor.cpu() for name, tensor in _tensors(model).items()}
    save_file(tensors, place / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})


def load_adapters(model: Any, folder: Path) -> None:
    """Read what `save_adapters` wrote into a model with the same adapters, in place."""
    stored = load_file(folder / ADAPTER_FOLDER / SAFETENSORS_WEIGHTS_NAME)
    tensors = {name.removeprefix(STORED_PREFIX): tensor for name, tensor in stored.items()}
    differing = sorted(tensors.keys() ^ _tensors(model).keys())
    if differing:
        raise ValueError(f"{folder / ADAPTER_FOLDER}: does not fit the adapters of this phase: {differing}")
    set_peft_model_state_dict(model, tensors, ADAPTER_NAME)


def _tensors(model: Any) -> dict[str, torch.Tensor]:
    return get_peft_model_state_dict(model, adapter_name=ADAPTER_NAME, save_embedding_layers=False)
