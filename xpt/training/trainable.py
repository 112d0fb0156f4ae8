"""Which parameters of a model learn in a phase, and what its layers drop meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from xpt.program.errors import XPTError
from xpt.training.parts import within
from xpt.transplant.architectures import is_causal
from xpt.transplant.parameter_groups import DECODER_GROUPS, GROUPS, parameter_group


def group_sizes(model: Any) -> dict[str, int]:
    """Parameters of each group of its kind, and of adapters where there are some; tied tensors count once."""
    sizes = dict.fromkeys(DECODER_GROUPS if is_causal(model.config) else GROUPS, 0)
    for name, parameter in model.named_parameters():
        group = parameter_group(name, model.config).split(".")[0]
        sizes[group] = sizes.get(group, 0) + parameter.numel()
    return sizes


def set_trainable(model: Any, train: Sequence[str]) -> list[str]:
    """Let exactly the named groups learn; give back the names of the trained parameters, in model order.

    Raises `XPTError` where a group has no parameter in this model.
    """
    groups = {name: parameter_group(name, model.config) for name, _ in model.named_parameters()}
    for group in train:
        if not any(within(own, group) for own in groups.values()):
            raise XPTError(f"parameter group {group!r} is empty in this model; leave it out of the phase")
    trained = []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(any(within(groups[name], group) for group in train))
        if parameter.requires_grad:
            trained.append(name)
    return trained


@contextmanager
def training_dropout(model: nn.Module, p: float | None = None, frozen: bool = True) -> Iterator[None]:
    """While open, the model's dropout has the probability `p`; None leaves what the configuration says.

    Adapters keep their own. Frozen layers in training mode still apply dropout; whether the authors left it
    on is not published. Without `frozen`, modules whose parameters are all frozen drop nothing.
    """
    dropouts = {name: module for name, module in model.named_modules() if isinstance(module, nn.Dropout)}
    before = {module: module.p for module in dropouts.values()}
    # What a ModernBERT or a decoder drops of its attention is a number, no module.
    numbers = {module: getattr(module, "attention_dropout", None) for module in model.modules()}
    attention_before = {module: value for module, value in numbers.items() if isinstance(value, float)}
    if p is not None:
        for name, module in dropouts.items():
            if ".lora_dropout." not in name:
                module.p = p
        for attention in attention_before:
            attention.attention_dropout = p
    for module in model.modules() if not frozen else ():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            for dropout in before.keys() & set(module.modules()):
                dropout.p = 0.0
            for attention in attention_before.keys() & set(module.modules()):
                attention.attention_dropout = 0.0
    try:
        yield
    finally:
        for module, probability in before.items():
            module.p = probability
        for attention, probability in attention_before.items():
            attention.attention_dropout = probability
