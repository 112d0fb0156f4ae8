"""What is built around a copied encoder: the classes of each architecture."""

from dataclasses import dataclass
from typing import Literal

from transformers import PreTrainedModel, RobertaConfig

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig
from modeling_trelm import TreLMRobertaForMaskedLM
from modeling_xpt import XPTRobertaForMaskedLM

ArchitectureName = Literal["xpt", "trelm"]


@dataclass(frozen=True)
class Architecture:
    """One of them.

    Args:
        config, model: the classes of its configuration and of its masked language model.
        default_itls: at each end, where a recipe does not say.
    """

    config: type[RobertaConfig]
    model: type[PreTrainedModel]
    default_itls: int


ARCHITECTURES: dict[str, Architecture] = {
    "xpt": Architecture(XPTRobertaConfig, XPTRobertaForMaskedLM, 1),  # Lee et al. 2021
    "trelm": Architecture(TreLMRobertaConfig, TreLMRobertaForMaskedLM, 0),  # Li et al. 2021
}


def architecture_of(model_type: str) -> Architecture:
    """That of a checkpoint, by its config's `model_type`. Raises `KeyError` for another's."""
    return {one.config.model_type: one for one in ARCHITECTURES.values()}[model_type]
