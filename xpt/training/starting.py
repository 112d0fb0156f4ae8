"""From which weights a phase starts, where it does not go on from the phase before it.

`start_from: above` branches: the phase starts where the one named "above" ended. A mapping merges: each
tensor is that of the phase named for its group, or the mean of several, as TreLM joins two halves that were
trained apart (Li et al. 2021).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from xpt.program.errors import XPTError
from xpt.training.parts import Parts, smallest_group

INITIAL = "initial"  # the model at step 0


@dataclass(frozen=True)
class StartFrom:
    """For each group of parameters the phases whose ends it is the mean of; the smallest group counts."""

    origins: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, value: Any) -> "StartFrom":
        """As a recipe writes it. Raises `ValueError` for what is no start."""
        if isinstance(value, str):
            return cls({"all": (value,)})
        if not isinstance(value, Mapping) or not value:
            raise ValueError(
                f"start_from is {value!r}; give a phase's name, or phases by group, such as "
                "{encoder.lower: below, encoder.upper: above, all: [below, above]}"
            )
        origins: dict[str, tuple[str, ...]] = {}
        for group, names in value.items():
            listed = names if isinstance(names, list | tuple) else [names]
            if not listed or not all(isinstance(name, str) for name in listed):
                raise ValueError(f"start_from of {group} is {names!r}; give a phase's name, or several")
            origins[str(group)] = tuple(listed)
        return cls(origins)

    @property
    def phases(self) -> tuple[str, ...]:
        """All that are named, each once; the model at step 0 is none."""
        named = dict.fromkeys(name for names in self.origins.values() for name in names)
        return tuple(name for name in named if name != INITIAL)

    def settled(self, parts: Parts, where: str) -> "StartFrom":
        """With the groups of the model for words as encoder.lower. Raises `XPTError` for unknown ones."""
        origins = parts.by_group(self.origins, f"{where}: start_from")
        if "all" not in origins:
            raise XPTError(
                f"{where}: start_from leaves out some groups; say where the rest is from, such as all: "
                f"{self.phases[-1] if self.phases else INITIAL}"
            )
        return StartFrom(origins)

    def to_record(self) -> str | dict[str, list[str]]:
        """As a recipe may write it."""
        names = self.origins["all"] if set(self.origins) == {"all"} else ()
        return names[0] if len(names) == 1 else {group: list(names) for group, names in self.origins.items()}

    def weights(self, folders: Mapping[str, Path], config: Any = None) -> dict[str, Tensor]:
        """The tensors to start from, by name.

        Args:
            folders: of the checkpoint that each phase ended with, and of the model at step 0.
            config: of the model.
        """
        named = {name for names in self.origins.values() for name in names}
        tensors = {name: load_file(folders[name] / "model.safetensors") for name in sorted(named)}
        return {
            name: _mean([tensors[origin][name] for origin in self.origins[self._group(name, config)]])
            for name in next(iter(tensors.values()))
        }

    def _group(self, parameter: str, config: Any) -> str:
        return smallest_group(parameter, self.origins, config) or "all"


def _mean(tensors: list[Tensor]) -> Tensor:
    """Of tensors that are equal, their value to the bit."""
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)
