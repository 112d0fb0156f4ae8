"""The configuration of a TreLM model: an encoder with a layer more in its middle, where languages meet.

This file travels inside every checkpoint, beside `modeling_trelm.py` and the two files of XPT that both build
on, so it imports nothing but transformers.
"""

from typing import Any, ClassVar

try:  # out of a checkpoint's folder transformers makes a package; installed, the files are top-level modules
    from .configuration_xpt import AUTO_MAP as XPT_AUTO_MAP
    from .configuration_xpt import XPTRobertaConfig
except ImportError:
    from configuration_xpt import AUTO_MAP as XPT_AUTO_MAP
    from configuration_xpt import XPTRobertaConfig

AUTO_MAP = {
    name: path.replace("_xpt.XPT", "_trelm.TreLM")  # the same classes, of the other file
    for name, path in XPT_AUTO_MAP.items()
}


class TreLMRobertaConfig(XPTRobertaConfig):
    """A copied encoder of an even number of layers with a TRILayer between its halves (Li et al. 2021).

    Args:
        num_languages: rows of the language embeddings.
        default_language: the row of a text whose language nobody names: that which the model is for.
        num_itl_in, num_itl_out: ITLs, which may stand around a TreLM as around an XPT; none by default.
        **kwargs: the fields of `XPTRobertaConfig`; `num_hidden_layers` counts the copied layers alone.

    Raises:
        ValueError: a field of ours is of the wrong kind, or layers are odd; the message names it.
    """

    model_type = "trelm-roberta"
    code: ClassVar[dict[str, str]] = AUTO_MAP

    num_itl_in: int = 0
    num_itl_out: int = 0
    num_languages: int = 2
    default_language: int = 1

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "num_languages" and (type(value) is not int or value < 1):
            raise ValueError(f"num_languages must be a whole number, 1 or more, but is {value!r}")
        if name == "default_language" and (type(value) is not int or value < 0):
            raise ValueError(f"default_language must be a whole number, 0 or more, but is {value!r}")
        if name == "num_hidden_layers" and (type(value) is not int or value < 2 or value % 2):
            raise ValueError(
                f"num_hidden_layers must be even, for a TRILayer in the middle, but is {value!r}"
            )
        super().__setattr__(name, value)

    @property
    def num_layers_with_itls(self) -> int:
        """Layers that a token passes, TRILayer and ITLs included."""
        return super().num_layers_with_itls + 1


TreLMRobertaConfig.register_for_auto_class()  # so that saving copies this file
