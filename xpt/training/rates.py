"""How fast each parameter group learns, and how a learning-rate schedule passes from phase to phase.

A group's factor multiplies the scheduled rate, whatever the schedule. Phases that share a schedule are, for
the tensors that all of them train, one longer phase: the rate goes on and so do the optimizer's moments.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from xpt.program.errors import XPTError
from xpt.training.parts import END_LAYERS, Parts, learns, smallest_group, within
from xpt.training.sharded import COMPILED
from xpt.transplant.parameter_groups import parameter_group

FACTOR = "learning_rate_factor"  # of a group of the optimizer


@dataclass(frozen=True)
class SharedSchedule:
    """Where a phase stands in a learning-rate schedule that it shares with its neighbors.

    Args:
        start: steps of it that earlier phases take.
        steps: of it in all.
        before: name and steps of the phase whose optimizer goes on; None where there is none.
    """

    start: int
    steps: int
    before: tuple[str, int] | None


def going_on(scheduler: Any, start: int) -> LambdaLR:
    """The same schedule from step `start` on. Raises `XPTError` where it is no function of the step."""
    if type(scheduler) is not LambdaLR:
        raise XPTError(
            f"rewarm: false needs a schedule that the step alone decides, not {type(scheduler).__name__}; "
            "give another --lr_scheduler_type"
        )
    return LambdaLR(scheduler.optimizer, scheduler.lr_lambdas, last_epoch=start - 1)


# ---- factors ---------------------------------------------------------------------------------------------


def read_factors(values: Any) -> dict[str, float]:
    """Factors by group as a recipe writes them. Raises `ValueError` for what are none."""
    if not isinstance(values, Mapping):
        raise ValueError(f"learning_rates is {values!r}; give factors by group, such as {{itl: 2.0}}")
    factors = {}
    for group, value in values.items():
        if isinstance(value, bool) or not 0 < (factor := float(value)) < math.inf:
            raise ValueError(
                f"learning_rates of {group} is {value!r}; give a positive number, or leave it out of train"
            )
        factors[str(group)] = factor
    return factors


def require_trained(factors: Iterable[str], train: Iterable[str], parts: Parts, where: str) -> None:
    """Raise `XPTError` for a factor of a group of which nothing is among `train`, both as they are written.

    Where the model is not known yet, what hangs on it is let pass.
    """
    trained = _groups(train, parts)
    for group in factors:
        if not any(learns(one, other) for one in _groups([group], parts) for other in trained):
            raise XPTError(f"{where}: learning_rates names {group!r}, which does not learn; leave it out")


def _groups(words: Iterable[str], parts: Parts) -> tuple[str, ...]:
    if parts.layers is not None:
        return parts.groups(list(words))
    return tuple("all" if word == "new" else END_LAYERS.sub("encoder", word) for word in words)


def require_held(factors: Iterable[str], trained: Iterable[str], where: str, config: Any = None) -> None:
    """Raise `XPTError` for a factor of a group that holds none of the `trained` parameters (their names)."""
    groups = {parameter_group(name, config) for name in trained}
    for factor in factors:
        if not any(within(group, factor) for group in groups):
            raise XPTError(
                f"{where}: learning_rates names {factor!r}, which is empty in this model; leave it out"
            )


def factor_of(parameter: str, factors: Mapping[str, float], config: Any = None) -> float:
    """Of a parameter, by its name: that of the smallest group that it is in; 1 where it is in none."""
    group = smallest_group(parameter, factors, config)
    return 1.0 if group is None else factors[group]


def apply_factors(optimizer: Optimizer, model: nn.Module, factors: Mapping[str, float]) -> None:
    """Divide the groups of `optimizer` by factor, each with its own rate; weight decay stays as it is."""
    names = {id(tensor): name.replace(COMPILED, "") for name, tensor in model.named_parameters()}
    divided, config = [], getattr(model, "config", None)
    for group in optimizer.param_groups:
        shares: dict[float, list[Any]] = {}
        for tensor in group["params"]:
            shares.setdefault(factor_of(names[id(tensor)], factors, config), []).append(tensor)
        for factor, tensors in shares.items():
            divided.append({**group, "params": tensors, "lr": group["lr"] * factor, FACTOR: factor})
    optimizer.param_groups[:] = divided


def rates_by_group(optimizer: Any, rate: float, factors: Mapping[str, float]) -> dict[str, float]:
    """What to log where the optimizer's first group has `rate`: that of the phase, and of each factor."""
    base = rate / optimizer.param_groups[0].get(FACTOR, 1.0)
    return {
        "learning_rate": base,
        **{f"learning_rate_{group}": base * factor for group, factor in factors.items()},
    }
