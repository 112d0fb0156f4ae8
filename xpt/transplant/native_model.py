"""An XPT model as the stock RoBERTa that it equals, and back: the same tensors under other names.

An ITL is an ordinary encoder layer, so an XPT model is a RoBERTa of num_itl_in + L + num_itl_out layers:

    itl_in.0 ... | encoder.layer.0 ... | itl_out.0 ...   ->   encoder.layer.0 ... encoder.layer.(L + 1)

What passes through: models in memory. Tensors are shared, not copied, so outputs are equal to the bit.
"""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, RobertaConfig, RobertaModel

import modeling_xpt
from configuration_xpt import AUTO_MAP, XPTRobertaConfig
from xpt.program.errors import XPTError

# Our class of each head -> transformers' own.
STOCK_CLASSES: dict[type[PreTrainedModel], type[PreTrainedModel]] = {
    getattr(modeling_xpt, name): getattr(transformers, name.removeprefix("XPT"))
    for name in (path.split(".")[1] for auto, path in AUTO_MAP.items() if auto != "AutoConfig")
}
XPT_CLASSES = {stock: ours for ours, stock in STOCK_CLASSES.items()}
BARE = (modeling_xpt.XPTRobertaModel, RobertaModel)

OURS = {field.name for field in fields(XPTRobertaConfig)} - {field.name for field in fields(RobertaConfig)}
# Fields that say which class wrote a configuration, and where; the other class writes its own.
PASSING = ("model_type", "architectures", "auto_map", "transformers_version", "_name_or_path")
LAYER = re.compile(r"^(roberta\.)?(itl_in|encoder\.layer|itl_out)\.(\d+)\.")


def to_native(model: PreTrainedModel) -> PreTrainedModel:
    """The stock RoBERTa that equals an XPT model, in evaluation mode; it shares the tensors."""
    config: Any = model.config
    kept = {name: value for name, value in config.to_dict().items() if name not in (*OURS, *PASSING)}
    native = RobertaConfig.from_dict({**kept, "num_hidden_layers": config.num_layers_with_itls})
    if isinstance(model, modeling_xpt.XPTRobertaForQuestionAnswering):
        native.num_labels = model.num_labels  # ours has two outputs, whatever labels a configuration names
    tensors = {native_name(name, config): tensor for name, tensor in model.state_dict().items()}
    return filled(STOCK_CLASSES[type(model)], native, tensors)


def from_native(model: PreTrainedModel, num_itl_in: int = 1, num_itl_out: int = 1) -> PreTrainedModel:
    """The XPT model that equals a stock RoBERTa, in evaluation mode; it shares the tensors.

    The first `num_itl_in` layers become `itl_in`, the last `num_itl_out` become `itl_out`.
    """
    config: Any = model.config
    kept = {name: value for name, value in config.to_dict().items() if name not in (*OURS, *PASSING)}
    del kept["use_cache"]  # RoBERTa's default is a decoder's
    kept["num_hidden_layers"] = config.num_hidden_layers - num_itl_in - num_itl_out
    own = XPTRobertaConfig.from_dict({**kept, "num_itl_in": num_itl_in, "num_itl_out": num_itl_out})
    kind, stored = XPT_CLASSES[type(model)], model.state_dict()
    with torch.device("meta"):
        names = list(kind(own, **_pooling(kind, stored)).state_dict())
    return filled(kind, own, {name: stored[native_name(name, own)] for name in names})


def native_name(name: str, config: Any) -> str:
    """What stock RoBERTa calls a tensor of the XPT model that `config` describes."""
    last = config.num_itl_in + config.num_hidden_layers
    before = {"itl_in": 0, "encoder.layer": config.num_itl_in, "itl_out": last}

    def renumbered(found: re.Match[str]) -> str:
        return f"{found[1] or ''}encoder.layer.{before[found[2]] + int(found[3])}."

    return re.sub(r"^choice_scorer\.", "classifier.", LAYER.sub(renumbered, name))


def filled(
    kind: type[PreTrainedModel], config: PretrainedConfig, tensors: Mapping[str, Tensor]
) -> PreTrainedModel:
    """A model of a class made of given tensors alone, in evaluation mode.

    Args:
        kind: one of `STOCK_CLASSES`, either side.
        config: what it is made from.
        tensors: by the class's own names; one that is tied to another may be left out, as files do.

    Raises:
        XPTError: a tensor is missing, unknown, of another shape, or differs from the one that it is tied to.
    """
    with torch.random.fork_rng(devices=[]):
        model: Any = kind(config, **_pooling(kind, tensors))
    tied, expected = model.all_tied_weights_keys, model.state_dict()
    for name, tensor in tensors.items():
        if name not in expected or tensor.shape != expected[name].shape:
            raise XPTError(
                f"{ascii(name)[1:-1]:.100} {tuple(tensor.shape)} is not in a {kind.__name__} of this "
                "configuration; get the checkpoint again"
            )
        if name in tied and not torch.equal(tensor, tensors.get(tied[name], tensor)):
            raise XPTError(
                f"{name} differs from {tied[name]}, to which it is tied; is tie_word_embeddings false?"
            )
    missing = [name for name in expected if name not in tensors and name not in tied]
    if missing:
        raise XPTError(
            f"lacks {missing[0]} ({len(missing)} of {len(expected)} tensors are missing); "
            "get the whole checkpoint"
        )
    model.load_state_dict({**tensors, **{name: tensors[whole] for name, whole in tied.items()}}, assign=True)
    model.tie_weights()
    return model.eval()


def _pooling(kind: type[PreTrainedModel], tensors: Mapping[str, Tensor]) -> dict[str, bool]:
    """A bare model may be without a pooler; it then stays without, as a new one would be random."""
    return {"add_pooling_layer": "pooler.dense.weight" in tensors} if kind in BARE else {}
