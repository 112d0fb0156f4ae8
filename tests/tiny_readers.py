"""A tiny model that can learn a few examples by heart, whatever stands in them."""

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from klue_tokenizers import make_tokenizer
from transformers import set_seed

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM


def make_reader(folder: Path, texts: Iterable[str], words: Iterable[str] = ()) -> Path:
    """A model in `folder` that reads letter by letter, knows all letters of `texts`, and `words` whole."""
    tokenizer = copy.deepcopy(make_tokenizer("character"))
    new = {letter for letter in {*"".join(texts)} - set(tokenizer.get_vocab()) if not letter.isspace()}
    tokenizer.add_tokens([*sorted(new), *words])
    set_seed(5)
    config = XPTRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=1, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=80, pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2,
    )  # fmt: skip
    model = XPTRobertaForMaskedLM(config)
    # Far apart from the start, as those of a trained model are.
    torch.nn.init.normal_(model.get_input_embeddings().weight)
    torch.nn.init.normal_(model.roberta.embeddings.position_embeddings.weight)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
