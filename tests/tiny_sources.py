"""Small random source checkpoints of every family, for the tests of opening and of the transplant."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModel, AutoModelForMaskedLM, set_seed

import modeling_trelm  # noqa: F401 (registers XPT and TreLM)
from xpt.transplant.families import POST_TRAINED

VOCABULARY, ROWS = 90, 30


@dataclass(frozen=True)
class Shape:
    """How a family's class names a small shape, and the class that its checkpoints are usually saved from.

    `own` are fields of the family that are not in the common shape; `head` is the masked-LM class, and
    `same_logits` whether that head is dense, GELU, LayerNorm, word embeddings, as RoBERTa's.
    """

    config: str
    head: str | None
    own: tuple[tuple[str, Any], ...] = ()
    same_logits: bool = True


_SIZES = (("dim", 32), ("n_layers", 3), ("n_heads", 4))
_XLM = (("emb_dim", 32), ("n_layers", 3), ("n_heads", 4))
_BART = {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 48}
_BART |= {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 32}
SHAPES = {
    "roberta": Shape("RobertaConfig", "RobertaForMaskedLM"),
    "camembert": Shape("CamembertConfig", "CamembertForMaskedLM"),
    "xlm-roberta": Shape("XLMRobertaConfig", "XLMRobertaForMaskedLM"),
    "data2vec-text": Shape("Data2VecTextConfig", "Data2VecTextForMaskedLM"),
    "luke": Shape("LukeConfig", "LukeForMaskedLM", (("entity_vocab_size", 7), ("entity_emb_size", 16))),
    "bert": Shape("BertConfig", "BertForMaskedLM"),
    "ernie": Shape("ErnieConfig", "ErnieForMaskedLM", (("use_task_id", True),)),
    "splinter": Shape("SplinterConfig", None),
    "electra": Shape("ElectraConfig", "ElectraForMaskedLM", (("embedding_size", 32),)),
    "distilbert": Shape("DistilBertConfig", "DistilBertForMaskedLM", (*_SIZES, ("hidden_dim", 48))),
    "xlm": Shape("XLMConfig", "XLMWithLMHeadModel", _XLM, same_logits=False),
    "flaubert": Shape("FlaubertConfig", "FlaubertWithLMHeadModel", _XLM, same_logits=False),
    "bart": Shape(
        "BartConfig",
        "BartForConditionalGeneration",
        tuple(_BART.items()),
        same_logits=False,
    ),
    "xpt-roberta": Shape("", None, (("num_itl_in", 2), ("num_itl_out", 1))),
    "trelm-roberta": Shape("", None, (("num_hidden_layers", 4), ("num_languages", 3))),
}
RENAMED = {  # fields of the common shape that a family names otherwise; None where it has no choice
    "distilbert": {"hidden_act": "activation", "layer_norm_eps": None, "type_vocab_size": None},
    "bart": {"hidden_act": "activation_function", "layer_norm_eps": None, "type_vocab_size": None},
    "xlm": {"hidden_act": None, "type_vocab_size": None},
    "flaubert": {"hidden_act": None, "type_vocab_size": None},
}
COMMON = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
# Families that count positions from the padding id on; the others' first position is row 0 whatever it is.
COUNTED_FROM_PADDING = {"roberta", "camembert", "xlm-roberta", "data2vec-text", "luke", *POST_TRAINED}


def random_config(family: str, pad: int = 1, **changes):
    """A small configuration of the family; changes are in RoBERTa's words or the family's own."""
    shape, renamed = SHAPES[family], RENAMED.get(family, {})
    values = {"vocab_size": VOCABULARY, "max_position_embeddings": ROWS, "pad_token_id": pad}
    values |= {} if renamed else COMMON
    values |= dict(shape.own)
    for name, value in changes.items():
        if (own := renamed.get(name, name)) is not None:
            values[own] = value
    kind = POST_TRAINED.get(family) or getattr(transformers, shape.config)
    return kind(**values)


def random_source(folder, family: str, pad: int = 1, head: str | None = "usual", **changes):
    """A checkpoint of the family with all its tensors away from their defaults.

    `head` is the class it is saved from: its masked-LM class ("usual"), the bare model (None), or a name.
    """
    set_seed(3)
    config = random_config(family, pad, **changes)
    name = SHAPES[family].head if head == "usual" else head
    if name is not None:
        model = getattr(transformers, name)(config)
    else:
        kind = AutoModelForMaskedLM if family in POST_TRAINED and head == "usual" else AutoModel
        model = kind.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.15)
    model.save_pretrained(folder)
    return Path(folder)
