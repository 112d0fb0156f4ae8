"""Tiny random checkpoints of the families of models that KLUE is run with, as they lie on the Hub."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from klue_tokenizers import make_tokenizer, training_lines
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    GPT2Config,
    GPTNeoXConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
    XLMRobertaConfig,
    set_seed,
)

from configuration_trelm import TreLMRobertaConfig
from configuration_xpt import XPTRobertaConfig

POSITIONS = 40  # tokens that each family can read, relative positions apart
WIDTH = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 48}
ENDS = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}  # of the byte tokenizer
ROBERTA_LIKE = {**WIDTH, "max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1, **ENDS}
BERT_LIKE = {**WIDTH, "max_position_embeddings": POSITIONS, "pad_token_id": 2}
BART = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
BART |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_start_token_id": 2, **ENDS}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": 2, "num_heads": 2, "eos_token_id": 2}

ENCODERS = ("xpt", "trelm", "bert", "roberta", "electra", "albert", "xlm-roberta", "deberta-v2")
DECODERS = ("gpt_neox", "gpt2")
PAIRS_OF_STACKS = ("bart", "t5")
FAMILIES = (*ENCODERS, *DECODERS, *PAIRS_OF_STACKS)


def make_config(family: str):
    """A tiny configuration whose vocabulary is that of `family_tokenizer`."""
    makers = {
        "xpt": (XPTRobertaConfig, ROBERTA_LIKE),
        "trelm": (TreLMRobertaConfig, ROBERTA_LIKE),
        "bert": (BertConfig, BERT_LIKE),
        "roberta": (RobertaConfig, ROBERTA_LIKE),
        "electra": (ElectraConfig, {**BERT_LIKE, "embedding_size": 16}),
        "albert": (AlbertConfig, {**BERT_LIKE, "embedding_size": 16, "classifier_dropout_prob": 0.0}),
        "xlm-roberta": (XLMRobertaConfig, ROBERTA_LIKE),
        "deberta-v2": (
            DebertaV2Config,
            {**BERT_LIKE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
        ),
        "gpt_neox": (GPTNeoXConfig, {**WIDTH, "max_position_embeddings": POSITIONS, "eos_token_id": 2}),
        "gpt2": (GPT2Config, {"n_embd": 32, "n_head": 2, "n_layer": 2, "n_positions": POSITIONS, **ENDS}),
        "bart": (BartConfig, {**BART, "max_position_embeddings": POSITIONS}),
        "t5": (T5Config, {**T5, "pad_token_id": 1, "decoder_start_token_id": 1}),
    }
    maker, fields = makers[family]
    return maker(vocab_size=len(family_tokenizer(family)), **fields)


def family_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """As the family's Korean models have it: which special tokens there are, and what stands around texts."""
    if family in ("bert", "electra", "albert", "deberta-v2"):
        return make_tokenizer("wordpiece")
    if family in ("xpt", "trelm", "roberta", "xlm-roberta"):
        return make_tokenizer("bytes")
    if family == "gpt2":
        return _marked_words()
    bare = Tokenizer.from_str(make_tokenizer("bytes").backend_tokenizer.to_str())
    bare.post_processor = None
    if family == "t5":
        bare.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
        )
    padding = {} if family == "gpt_neox" else {"pad_token": "<pad>"}  # Polyglot-Ko pads with its end
    return PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="</s>", **padding)


@cache
def _marked_words() -> PreTrainedTokenizerFast:
    """KoGPT2's kind: byte-pair encoding of letters, not bytes, with a mark before words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(training_lines(), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")


def make_checkpoint(family: str, folder: Path) -> Path:
    """A folder with weights, configuration and tokenizer, with the head that the family is pre-trained with.

    KoGPT2 has no file about its tokenizer but tokenizer.json, so has `gpt2` here.
    """
    set_seed(11)
    auto_class = {**dict.fromkeys(DECODERS, AutoModelForCausalLM)}.get(family, AutoModelForMaskedLM)
    auto_class = AutoModelForSeq2SeqLM if family in PAIRS_OF_STACKS else auto_class
    model = auto_class.from_config(make_config(family))
    with torch.no_grad():  # far from uniform attention, so that a wrong mask shows
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    family_tokenizer(family).save_pretrained(folder)
    if family == "gpt2":
        (folder / "tokenizer_config.json").unlink()
    return folder


def change_config(folder: Path, **changes) -> None:
    """Rewrite fields of a folder's config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def checkpoint_maker(place: Path) -> Callable[[str], Path]:
    """`make_checkpoint` in a folder for all of a file's tests, once a family."""
    return cache(lambda family: make_checkpoint(family, place / family))
