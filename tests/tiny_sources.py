"""Small random source checkpoints, for the tests of opening and of the transplant."""

import torch
from conftest import tiny_config
from transformers import (
    AutoModel,
    BertForMaskedLM,
    CamembertConfig,
    CamembertForMaskedLM,
    RobertaConfig,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    set_seed,
)


def random_source(folder, family: str, pad: int = 1, **changes):
    """A checkpoint of the family with all its tensors away from their defaults."""
    set_seed(3)
    small = {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    small |= {"intermediate_size": 48, "max_position_embeddings": 30, "pad_token_id": pad, **changes}
    config_type, model_type = {
        "roberta": (RobertaConfig, AutoModel),
        "camembert": (CamembertConfig, CamembertForMaskedLM),
        "xlm-roberta": (XLMRobertaConfig, XLMRobertaForMaskedLM),
        "bert": (type(tiny_config("bert")), BertForMaskedLM),
    }[family]
    config = config_type(**small)
    model = model_type.from_config(config) if model_type is AutoModel else model_type(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    model.save_pretrained(folder)
    return folder
