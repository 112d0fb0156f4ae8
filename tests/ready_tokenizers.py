"""Ready tokenizers as people have them, small: BERT's kind, with holes, with special tokens of any sort."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from conftest import korean_sentences
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

ROLES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")  # their ids are 0 to 4


@cache
def _trained() -> str:
    """WordPiece of 300 pieces that frames texts as BERT does, as its JSON."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(WORDS), show_progress=False)
    tokenizer.train_from_iterator(korean_sentences(1500), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer.to_str()


def wordpiece(
    *, change: Callable[[dict], None] | None = None, framed: bool = True, **roles: str | None
) -> PreTrainedTokenizerFast:
    """A tokenizer of BERT's kind.

    Args:
        change: what to do to its JSON.
        framed: whether it puts [CLS] and [SEP] around a text.
        roles: other ones than BERT's; None takes one away.
    """
    described = json.loads(_trained())
    if not framed:
        described["post_processor"] = None
    if change:
        change(described)
    given = {f"{role}_token": token for role, token in {**ROLES, **roles}.items() if token is not None}
    given["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(described)), **given)


def leave_a_hole(described: dict) -> None:
    """As a vocab.txt in which the line of piece 20 stands a second time, at 50, does: 20 is no piece's id."""
    vocabulary = described["model"]["vocab"]
    moved = {piece: index if index < 50 else index + 1 for piece, index in vocabulary.items()}
    twice = next(piece for piece, index in vocabulary.items() if index == 20)
    described["model"]["vocab"] = {**moved, twice: 50}


def endoftext() -> PreTrainedTokenizerFast:
    """Byte-level BPE of GPT-2's kind, whose one special token has several roles; another one has none."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(korean_sentences(300), trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|fim|>", "<|mask|>", "<|pad|>"])
    end = "<|endoftext|>"
    roles = {"bos_token": end, "eos_token": end, "unk_token": end}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, mask_token="<|mask|>", pad_token="<|pad|>", **roles
    )


def plain_mask() -> PreTrainedTokenizerFast:
    """WordPiece whose special tokens are not marked so, and matched in text without what is no character."""
    cleaned = normalizers.Replace(Regex(r"\p{C}"), "")
    normalizer = Tokenizer(models.WordPiece())
    normalizer.normalizer = cleaned

    def change(described: dict) -> None:
        described["normalizer"] = json.loads(normalizer.to_str())["normalizer"]
        for token in described["added_tokens"]:
            token |= {"special": False, "normalized": True}

    return wordpiece(change=change)


def saved(tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    tokenizer.save_pretrained(folder)
    return folder
