"""An XPT model of a ModernBERT as a stock ModernBERT, nearly: one whose difference is measured.

A stock ModernBERT normalizes its embeddings before its first layer, an XPT model behind `itl_in`. Where there
is no `itl_in` both compute the same. Else the norm moves to the front:

    ours    words -> itl_in -> norm -> layers            stock    words -> norm -> itl_in -> layers

and what `itl_in` reads and adds is rescaled to what it then stands on: its norms and first projection undo
the weights of the norm, its outputs are divided by the mean deviation of a word embedding and multiplied by
those weights. The rest is an approximation: words deviate differently, and `itl_in` no longer changes what
the norm sees. How much that costs is known from text alone, so nothing is written before it is measured.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedModel

from modeling_xpt import IGNORED_LABEL
from modeling_xpt_modernbert import GLOBAL, XPTModernBertForMaskedLM
from xpt.program.errors import XPTError
from xpt.program.files import check_writable, write_folder_atomically
from xpt.transplant.modernbert import OWN_FIELDS, SPECIAL_IDS

NO_WEIGHT = 1e-4  # a dimension that the norm blanks: nothing behind it reads what is there


@dataclass(frozen=True)
class StockLosses:
    """Losses on the same labels, nats a token.

    Args:
        xpt: of the XPT model.
        stock: of the stock model that stands for it.
        labels: how many tokens were predicted.
    """

    xpt: float
    stock: float
    labels: int

    @property
    def difference(self) -> float:
        """What the export costs, nats a token; negative where it gains."""
        return self.stock - self.xpt


def to_stock(model: XPTModernBertForMaskedLM) -> ModernBertForMaskedLM:
    """The stock ModernBERT of as many layers as tokens pass, in evaluation mode; it shares no tensors.

    Equal to the bit where there is no `itl_in`, otherwise an approximation.
    """
    config: Any = model.config
    described = config.to_dict()
    new_in, new_out = ([GLOBAL] * count for count in (config.num_itl_in, config.num_itl_out))
    stock_config = ModernBertConfig(
        **{name: described[name] for name in OWN_FIELDS},
        **{name: described[name] for name in SPECIAL_IDS},
        vocab_size=config.vocab_size,
        num_hidden_layers=config.num_layers_with_itls,
        layer_types=[*new_in, *config.layer_types, *new_out],
        attn_implementation=config._attn_implementation,  # of two kernels the rounding would be measured, too
    )
    with torch.random.fork_rng(devices=[]):
        stock = ModernBertForMaskedLM(stock_config).to(model.dtype)
    own = model.state_dict()
    scaled = _rescaled(own, config) if config.num_itl_in else own
    stock.load_state_dict({_stock_name(name, config): tensor for name, tensor in scaled.items()})
    return stock.eval()


def export_stock(
    model: XPTModernBertForMaskedLM, batches: Iterable[Mapping[str, Tensor]], output: str | Path
) -> StockLosses:
    """Write the stock ModernBERT that stands for an XPT model, and say what that costs.

    Args:
        model: an XPT model of a ModernBERT; left as it is.
        batches: of text in the model's language, with `input_ids`, `attention_mask` and `labels`, each
            (batch, length).
        output: a new or an empty folder, for configuration and weights.

    Returns:
        Losses of both, measured before anything is written.

    Raises:
        XPTError: `output` holds something, or the batches predict nothing.
    """
    output = Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise XPTError(f"{output} is not empty; give a new folder")
    check_writable(output, "OUTPUT")
    stock = to_stock(model)
    losses = compare_losses(model, stock, batches)
    with write_folder_atomically(output) as staging:
        stock.save_pretrained(staging)
    return losses


def compare_losses(
    model: PreTrainedModel, stock: PreTrainedModel, batches: Iterable[Mapping[str, Tensor]]
) -> StockLosses:
    """Losses of two masked language models on the same batches, without dropout; see `export_stock`."""
    sums, labels = torch.zeros(2, dtype=torch.float64), 0
    was_training = model.training
    try:
        for batch in batches:
            labels += int((batch["labels"] != IGNORED_LABEL).sum())
            sums += torch.stack([_summed_loss(one.eval(), batch) for one in (model, stock)])
    finally:
        model.train(was_training)
    if not labels:
        raise XPTError("the text has no token to predict; give more of it")
    own, other = (sums / labels).tolist()
    return StockLosses(own, other, labels)


@torch.no_grad()
def _summed_loss(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    logits = model(**inputs).logits.flatten(0, 1).double()
    return torch.nn.functional.cross_entropy(
        logits, batch["labels"].flatten(), ignore_index=IGNORED_LABEL, reduction="sum"
    )


def _stock_name(name: str, config: Any) -> str:
    """What a stock model calls a tensor of ours: layers are counted through."""
    last = config.num_itl_in + config.num_hidden_layers
    for part, before in (("itl_in", 0), ("layers", config.num_itl_in), ("itl_out", last)):
        stem = f"model.{part}."
        if name.startswith(stem):
            number, rest = name.removeprefix(stem).split(".", 1)
            return f"model.layers.{int(number) + before}.{rest}"
    return name


def _rescaled(own: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
    """Our tensors, `itl_in` rescaled to stand behind the norm of the embeddings, the first layer before it.

    With w the norm's weights: `itl_in` reads w * z where it read z, z of unit deviation. A norm of w * z has
    the deviation of w to divide by, which is about its root mean square.
    """
    weight = own["model.embeddings.norm.weight"].double()  # (hidden,)
    undone = torch.where(weight.abs() > NO_WEIGHT, 1 / weight, 0.0)
    spread = weight.square().mean().sqrt()
    words = own["model.embeddings.tok_embeddings.weight"].double()  # (vocabulary, hidden)
    deviation = (words.var(dim=1, correction=0) + config.norm_eps).sqrt().mean()
    found = dict(own)
    for name in (name for name in own if name.startswith("model.itl_in.")):
        changed = own[name].double()
        if name.endswith("_norm.weight"):
            changed = changed * undone * spread
        elif ".Wo." in name:  # rows of the weight, or the bias
            factor = weight / deviation
            changed = changed * (factor[:, None] if changed.dim() == 2 else factor)
        found[name] = changed.to(own[name].dtype)
    # The first layer of a stock model reads what the norm gives: its own goes into the projection's columns.
    first = "model.itl_in.0.attn"
    read = own[f"{first}_norm.weight"].double() * undone
    projection = own[f"{first}.Wqkv.weight"]
    found[f"{first}.Wqkv.weight"] = (projection.double() * read).to(projection.dtype)
    for kind in ("weight", "bias"):
        found.pop(f"{first}_norm.{kind}", None)
    # The source's first layer is not the first any more, and gets a norm that changes little.
    found["model.layers.0.attn_norm.weight"] = spread.expand_as(weight).to(projection.dtype).clone()
    if config.norm_bias:
        found["model.layers.0.attn_norm.bias"] = torch.zeros_like(found["model.layers.0.attn_norm.weight"])
    return found
