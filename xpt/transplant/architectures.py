"""What is built around a copied encoder: the classes and the code files of each architecture."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedModel

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from modeling_xpt import XPTRobertaForMaskedLM

ArchitectureName = Literal["xpt", "trelm"]


@dataclass(frozen=True)
class Architecture:
    """One of them.

    Args:
        name: in a recipe.
        config, model: the classes of its configuration and of its masked language model.
        default_itls: at each end, where a recipe does not say.
        modules: names of the modules that travel with a checkpoint.
    """

    name: ArchitectureName
    config: type[XPTRobertaConfig]
    model: type[PreTrainedModel]
    default_itls: int
    modules: tuple[str, ...]

    @property
    def model_type(self) -> str:
        """By which a `config.json` names it."""
        return self.config.model_type

    @property
    def code_files(self) -> tuple[Path, ...]:
        """The files of its modules, as this package has them."""
        return tuple(Path(str(sys.modules[name].__file__)) for name in self.modules)


_XPT_CODE = ("configuration_xpt", "modeling_xpt")
_TRELM_CODE = ("configuration_trelm", "modeling_trelm", *_XPT_CODE)  # stands on XPT's
_ALL = (
    Architecture("xpt", XPTRobertaConfig, XPTRobertaForMaskedLM, 1, _XPT_CODE),  # Lee et al. 2021
    Architecture("trelm", TreLMRobertaConfig, TreLMRobertaForMaskedLM, 0, _TRELM_CODE),  # Li et al.
)
ARCHITECTURES: dict[str, Architecture] = {one.name: one for one in _ALL}


def find_architecture(model_type: Any) -> Architecture | None:
    """That of a checkpoint, by what its config gives as `model_type`; None for another's."""
    return next((one for one in _ALL if one.model_type == model_type), None)


def architecture_of(model_type: str) -> Architecture:
    """That of a checkpoint, by its config's `model_type`. Raises `KeyError` for another's."""
    return {one.model_type: one for one in _ALL}[model_type]
