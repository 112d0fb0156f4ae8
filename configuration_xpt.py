"""The configuration of an XPT model: RoBERTa's, and how many new layers stand around the copied encoder.

This file travels inside every checkpoint, beside `modeling_xpt.py`, so it imports nothing but transformers.
What passes through: the fields of `config.json`, among them the complete `auto_map`, by which every Auto
class finds the code that lies next to the weights.
"""

from typing import Any, ClassVar

from transformers import RobertaConfig

# All of it goes into every saved config: by itself transformers would name only the one class that was saved.
AUTO_MAP = {
    "AutoConfig": "configuration_xpt.XPTRobertaConfig",
    "AutoModel": "modeling_xpt.XPTRobertaModel",
    "AutoModelForMaskedLM": "modeling_xpt.XPTRobertaForMaskedLM",
    "AutoModelForSequenceClassification": "modeling_xpt.XPTRobertaForSequenceClassification",
    "AutoModelForTokenClassification": "modeling_xpt.XPTRobertaForTokenClassification",
    "AutoModelForQuestionAnswering": "modeling_xpt.XPTRobertaForQuestionAnswering",
    "AutoModelForMultipleChoice": "modeling_xpt.XPTRobertaForMultipleChoice",
}


class XPTRobertaConfig(RobertaConfig):
    """An English encoder between two stacks of new layers (implicit translation layers, ITLs).

    Args:
        num_itl_in: number of ITLs between the embeddings and the encoder, 0 or more.
        num_itl_out: number of ITLs after the encoder, 0 or more.
        sparse_prediction: with labels, the masked-language head computes logits at labelled positions only.
        **kwargs: the fields of `RobertaConfig`; `num_hidden_layers` counts the copied layers, not the ITLs.

    Raises:
        ValueError: a field of ours is of the wrong kind; the message names it and what it accepts.
    """

    model_type = "xpt-roberta"
    code: ClassVar[dict[str, str]] = AUTO_MAP

    num_itl_in: int = 1
    num_itl_out: int = 1
    sparse_prediction: bool = False
    use_cache: bool = False  # an encoder keeps no keys; RoBERTa's True only brings warnings

    def __post_init__(self, **kwargs: Any) -> None:
        # The fields of a stock RoBERTa name their own kind, under which ours would otherwise go on.
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

    @property
    def num_layers_with_itls(self) -> int:
        """Layers that a token passes, ITLs included: the depth of the equal stock RoBERTa."""
        return self.num_itl_in + self.num_hidden_layers + self.num_itl_out


XPTRobertaConfig.register_for_auto_class()  # so that saving copies this file
