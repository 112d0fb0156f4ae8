"""LoRA for fine-tuning: adapters beside a frozen body, and what is new: head, pooler, rows of new tokens.

    model = attach_adapters(task.build(backbone), backbone, lora_r, ...)

peft makes the layers (Hu et al. 2021) and what is written is peft's format. This module says which matrices
get an adapter, what else learns, and starts the adapters by seed and name.
"""

import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from xpt.finetune.arguments import ModelArguments
from xpt.finetune.backbone import Backbone, body_prefix, head_modules
from xpt.finetune.heads.headed import HeadedModel
from xpt.program.errors import XPTError
from xpt.program.seeding import seeded_generator

ADAPTER = "default"  # peft's name for the only one
# Query and value by the names that families give them; of those that peft does not list.
NAMES = (
    ("query", "value"),
    ("q_proj", "v_proj"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    ("q", "v"),
)
FUSED = (("query_key_value",), ("c_attn",), ("qkv_proj",), ("Wqkv",))


def attach_adapters(
    model: PreTrainedModel, backbone: Backbone, arguments: ModelArguments, seed: int
) -> PeftModel:
    """Freeze `model` but for new adapters and what the checkpoint lacks; outputs are as before.

    Args:
        model: what a task built around `backbone`.
        backbone: as it is right after `model` was loaded: it knows what is new.
        arguments: rank, scale, dropout and target matrices.
        seed: of the adapters' start, with their names.

    Raises:
        XPTError: numbers that make no adapter, or a target that names no matrix.
    """
    _check(arguments)
    prefix = body_prefix(model)
    heads = head_modules(model)
    targets = tuple(arguments.lora_target_modules or default_targets(model, backbone.config))
    matched = _matrices(model, prefix, heads, targets)
    config = LoraConfig(
        base_model_name_or_path=backbone.name,
        revision=backbone.revision,
        r=arguments.lora_r,
        lora_alpha=arguments.lora_alpha,
        lora_dropout=arguments.lora_dropout,
        target_modules=_pattern(prefix, heads, targets),
        fan_in_fan_out=isinstance(matched[0], Conv1D),
        modules_to_save=_learned_whole(model, backbone, heads),
        trainable_token_indices=_new_rows(model, backbone.new_tokens),
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about what peft asks it
        adapted = PeftModel(model, config, ADAPTER)  # get_peft_model would name the base as the model does
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if ".lora_A." in name:  # B is 0, as in the paper
                drawn, generator = torch.empty(tensor.shape), seeded_generator(seed, name)
                nn.init.kaiming_uniform_(drawn, math.sqrt(5), generator=generator)
                tensor.copy_(drawn)
    return adapted


def adapter_parameters(model: nn.Module) -> int:
    """How many numbers the adapters have, head and rows of new tokens not counted."""
    return sum(tensor.numel() for name, tensor in model.named_parameters() if ".lora_" in name)


def describe_adapters(model: nn.Module) -> dict[str, Any] | None:
    """For results: the adapters' settings and size; None without any."""
    if not isinstance(model, PeftModel):
        return None
    config: Any = model.peft_config[ADAPTER]
    return {
        "r": config.r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "target_modules": config.target_modules,
        "adapter_parameters": adapter_parameters(model),
        "new_token_rows": sum(map(len, (config.trainable_token_indices or {}).values())),
    }


def default_targets(model: nn.Module, config: PretrainedConfig) -> tuple[str, ...]:
    """Query and value of attention, by the family's names; query, key and value where one matrix makes all.

    Raises:
        XPTError: neither peft nor this module knows the family's names.
    """
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(config.model_type)
    if known is not None and not isinstance(known, str):
        return tuple(known)
    ends = {name.rpartition(".")[2] for name, module in model.named_modules() if _is_matrix(module)}
    for names in (*NAMES, *FUSED):
        if ends.issuperset(names):
            return names
    raise XPTError(
        f"--lora: which matrices of {config.model_type} are query and value is not known; name them with "
        "--lora_target_modules"
    )


def _check(arguments: ModelArguments) -> None:
    for name in ("lora_r", "lora_alpha"):
        if getattr(arguments, name) < 1:
            raise XPTError(f"--{name} is {getattr(arguments, name)}; give at least 1")
    if not 0 <= arguments.lora_dropout < 1:
        raise XPTError(f"--lora_dropout is {arguments.lora_dropout}; give a share from 0 to below 1")


def _pattern(prefix: str, heads: Sequence[str], targets: Sequence[str]) -> str:
    """peft's regular expression for matrices of the body whose names end so; a head learns as a whole."""
    start = rf"{re.escape(prefix)}\." if prefix else rf"(?!(?:{'|'.join(map(re.escape, heads))})\b)"
    return rf"{start}(?:.*\.)?(?:{'|'.join(map(re.escape, targets))})"


def _matrices(model: nn.Module, prefix: str, heads: Sequence[str], targets: Sequence[str]) -> list[nn.Module]:
    found = []
    for target in targets:
        pattern = re.compile(_pattern(prefix, heads, [target]))
        matched = [
            module for name, module in model.named_modules() if _is_matrix(module) and pattern.fullmatch(name)
        ]
        if not matched:
            raise XPTError(
                f"--lora_target_modules: the model has no matrix whose name ends in {target!r}; its matrices "
                f"are {', '.join(_endings(model, prefix))}"
            )
        found += matched
    return found


def _endings(model: nn.Module, prefix: str) -> list[str]:
    names = [name for name, module in model.named_modules() if _is_matrix(module) and name.startswith(prefix)]
    return sorted({name.rpartition(".")[2] for name in names})


def _is_matrix(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | Conv1D)


def _learned_whole(model: PreTrainedModel, backbone: Backbone, heads: Sequence[str]) -> list[str]:
    """Modules that learn all their weights: those of the head, and a pooler that the checkpoint lacks.

    peft looks for them by the ends of names, so they are named as deep as their tensors stand.
    """
    names = []
    for module in (*heads, *_new_poolers(model, backbone, heads)):
        names += _owners(model.get_submodule(module), module)
    for name, _ in model.named_modules():
        if name not in names and name.endswith(tuple(names)):
            raise ValueError(
                f"peft would train {name} too, which ends like a module of the head; rename that"
            )
    return names


def _owners(module: nn.Module, name: str) -> list[str]:
    """Names of the modules in `module` that hold tensors themselves, without what stands within those."""
    if next(module.parameters(recurse=False), None) is not None:
        return [name]
    return [owner for child, inner in module.named_children() for owner in _owners(inner, f"{name}.{child}")]


def _new_poolers(model: PreTrainedModel, backbone: Backbone, heads: Sequence[str]) -> list[str]:
    """Poolers of the body that are new, by their names in `model`; a body loaded bare knows shorter ones."""
    prefix = body_prefix(model)
    found = set()
    for tensor in backbone.new_tensors:
        parts = tensor.split(".")
        if "pooler" in parts and (parts[0] not in heads or isinstance(model, HeadedModel)):
            bare = parts[: parts.index("pooler") + 1]
            found.add(".".join(bare if bare[0] == prefix else [prefix, *bare]))
    return sorted(found)


def _new_rows(model: PreTrainedModel, tokens: Sequence[int]) -> dict[str, list[int]] | None:
    """Rows of the word embeddings that learn, under every full name that the embeddings go by.

    BART and T5 have the same matrix in three places. Where peft does not see that they are tied, each stack
    learns rows of its own, and those of the place that none reads stay as they are.
    """
    if not tokens:
        return None
    matrix = model.get_input_embeddings().weight
    return {
        name: list(tokens)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Embedding) and module.weight is matrix
    }
