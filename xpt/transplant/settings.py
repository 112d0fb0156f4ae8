"""What a user decides of the transplant: which layers, what is built around them, and how that starts."""

from dataclasses import dataclass
from typing import Literal

from xpt.program.settings import option
from xpt.transplant.architectures import ArchitectureName

# Of both output projections: the layer then changes its input little, or only normalizes it.
OUTPUT_SCALES = {"near_identity": 0.1, "zero_output": 0.0, "identity": 0.0}
ItlInit = Literal["auto", "random", "near_identity", "zero_output", "identity", "copy"]


@dataclass(frozen=True)
class TransplantSettings:
    """What the transplant decides; see the options of the same names."""

    source_num_layers: int | None = option(
        None, "Keep the source's first layers only. Default: all. Fewer learn more per minute on a CPU."
    )
    architecture: ArchitectureName = option(
        "xpt",
        "What is built around the source's layers: Implicit Translation Layers at both ends (xpt, P21), or a "
        "TRILayer between its halves, a copy of the layer behind it (trelm, Li et al. 2021).",
    )
    layers_init: Literal["copy", "random"] = option(
        "copy", "random: the control that takes the source's shape and copies nothing of it."
    )
    num_itl_in: int | None = option(
        None,
        "Implicit Translation Layers before the first English layer. Default: 1 (P21), or an XPT source's; 0 "
        "in a TreLM.",
    )
    num_itl_out: int | None = option(
        None, "Implicit Translation Layers after the last English layer. Default: as num_itl_in."
    )
    itl_init: ItlInit = option(
        "auto",
        "Start of the ITLs: an XPT source's own, else random (auto); random (P21); random with small outputs "
        "(near_identity), or with none (zero_output), so that only LayerNorms behind them do anything (as in "
        "LLaMA Pro, Wu et al. 2024); exactly nothing (identity: decoders and ModernBERT, which have no norm "
        "there); or copies of the nearest layer (copy).",
    )
    lm_head_init: Literal["auto", "copy", "random"] = option(
        "auto",
        "LM-head transform: copied where the source has one that computes the same (auto), always, or never "
        "(RE22).",
    )
    seed: int = 0

    @property
    def copies_layers(self) -> bool:
        """Whether anything of the source but its shape is taken."""
        return self.layers_init == "copy"
