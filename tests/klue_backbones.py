"""Tiny random models with a tokenizer of a kind, saved and opened as a user's are."""

from pathlib import Path

import tiny_models
from klue_tokenizers import make_tokenizer
from transformers import BartConfig, BartModel, GPT2Config, GPT2LMHeadModel, T5Config, T5Model, set_seed

from configuration_xpt import XPTRobertaConfig
from modeling_xpt import XPTRobertaForMaskedLM
from xpt.finetune.backbone import Backbone, open_backbone
from xpt.text.tokenizer import save_tokenizer

POSITIONS = 120


def make_backbone(folder: Path, kind: str = "character", family: str = "xpt") -> Backbone:
    """A model of width 32 with `POSITIONS` positions: `xpt`, `gpt2`, `bart` or `t5`."""
    set_seed(0)
    tokenizer = make_tokenizer(kind)
    start, pad, end = (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.sep_token_id)
    known = {"vocab_size": len(tokenizer), "pad_token_id": pad, "bos_token_id": start, "eos_token_id": end}
    bart = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
    bart |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "d_model": 32}
    made = {
        "xpt": lambda: XPTRobertaForMaskedLM(
            XPTRobertaConfig(
                **{**tiny_models.SHAPE, **known, "max_position_embeddings": POSITIONS + pad + 1},
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        ),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(**known, n_embd=32, n_layer=1, n_head=4, n_positions=POSITIONS)
        ),
        "bart": lambda: BartModel(BartConfig(**known, **bart, max_position_embeddings=POSITIONS)),
        "t5": lambda: T5Model(
            T5Config(
                **known, d_model=32, d_ff=48, d_kv=8, num_layers=1, num_heads=4, decoder_start_token_id=pad
            )
        ),
    }[family]()
    made.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return open_backbone(str(folder))
