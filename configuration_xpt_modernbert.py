"""The configuration of an XPT model of a ModernBERT, and how many new layers stand around the copied encoder.

mmBERT, Ettin and A.X-Encoder are ModernBERTs, too. This file travels inside every checkpoint, beside
`modeling_xpt_modernbert.py`, so it imports nothing but transformers.
"""

from typing import Any, ClassVar

from transformers import ModernBertConfig

# All of it goes into every saved config: by itself transformers would name only the one class that was saved.
AUTO_MAP = {
    "AutoConfig": "configuration_xpt_modernbert.XPTModernBertConfig",
    "AutoModel": "modeling_xpt_modernbert.XPTModernBertModel",
    "AutoModelForMaskedLM": "modeling_xpt_modernbert.XPTModernBertForMaskedLM",
    "AutoModelForSequenceClassification": ("modeling_xpt_modernbert.XPTModernBertForSequenceClassification"),
    "AutoModelForTokenClassification": "modeling_xpt_modernbert.XPTModernBertForTokenClassification",
    "AutoModelForQuestionAnswering": "modeling_xpt_modernbert.XPTModernBertForQuestionAnswering",
    "AutoModelForMultipleChoice": "modeling_xpt_modernbert.XPTModernBertForMultipleChoice",
}


class XPTModernBertConfig(ModernBertConfig):
    """A ModernBERT between two stacks of new layers (implicit translation layers, ITLs).

    Args:
        num_itl_in: number of ITLs between the word embeddings and their norm, 0 or more.
        num_itl_out: number of ITLs between the last layer and the final norm, 0 or more.
        **kwargs: the fields of `ModernBertConfig`; `num_hidden_layers` and `layer_types` are those of the
            copied layers alone, so that no ITL moves the window of a layer. ITLs attend to all tokens.

    Raises:
        ValueError: a field of ours is of the wrong kind; the message names it and what it accepts.
    """

    model_type = "xpt-modernbert"
    code: ClassVar[dict[str, str]] = AUTO_MAP

    num_itl_in: int = 1
    num_itl_out: int = 1

    def __post_init__(self, **kwargs: Any) -> None:
        # The fields of a stock ModernBERT name their own kind, under which ours would otherwise go on.
        kwargs.pop("model_type", None)
        auto_map = {**self.code, **(kwargs.pop("auto_map", None) or {})}
        super().__post_init__(**kwargs)
        self.auto_map = auto_map

    def __setattr__(self, name: str, value: Any) -> None:
        # Not after construction: `from_pretrained(..., num_itl_in=2)` sets the field of a finished config.
        if name in ("num_itl_in", "num_itl_out") and (type(value) is not int or value < 0):
            raise ValueError(f"{name} must be a whole number, 0 or more, but is {value!r}")
        if name == "sparse_prediction" and type(value) is not bool:
            raise ValueError(f"sparse_prediction must be true or false, but is {value!r}")
        super().__setattr__(name, value)

    def standardize_rope_params(self) -> None:
        """Of both types each for itself, as ITLs are of one of them whatever the layers are.

        transformers 5.4 takes the parameters of two types for those of one where the layers are of one type.
        """
        config: Any = self
        types, config.layer_types = config.layer_types, ["full_attention", "sliding_attention"]
        super().standardize_rope_params()
        config.layer_types = types

    @property
    def num_layers_with_itls(self) -> int:
        """Layers that a token passes, ITLs included."""
        return self.num_itl_in + self.num_hidden_layers + self.num_itl_out


XPTModernBertConfig.register_for_auto_class()  # so that saving copies this file
