"""Which pieces start a word, by the tokenizer's own marks: SentencePiece's `▁`, BERT's `##`, GPT-2's `Ġ`.

A word is what stands between blanks, such as a Korean eojeol: a noun with its particles, a verb with its
endings. WordPiece, which cuts punctuation off both sides, takes each mark of it for a word of its own.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.text.special_tokens import id_count, special_ids

WORD = "▁"
BYTE_WORD = "Ġ"  # how byte-level tokenizers write the byte of a blank


def word_starts(tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """Whether a word starts with the piece: (ids,) booleans.

    Raises `XPTError` where the pieces do not say so.
    """
    starts_word = _reader(json.loads(tokenizer.backend_tokenizer.to_str()))
    starts = np.zeros(id_count(tokenizer), dtype=bool)
    for piece, index in tokenizer.get_vocab().items():
        starts[index] = starts_word(piece)
    text = np.setdiff1d(np.arange(len(starts)), sorted(special_ids(tokenizer)))
    if not starts[text].any() or starts[text].all():
        raise XPTError(
            "--whole_word_masking: the tokenizer does not mark where words start; give one of SentencePiece, "
            "WordPiece or byte-level BPE, or leave it out"
        )
    return starts


def _reader(described: dict[str, Any]) -> Callable[[str], bool]:
    """What tells by a piece whether it starts a word; `described` is the tokenizer's JSON."""
    within = described["model"].get("continuing_subword_prefix")
    if within:
        return lambda piece: not piece.startswith(within)
    mark = BYTE_WORD if is_byte_level(described) else WORD
    return lambda piece: piece.startswith(mark)


def is_byte_level(described: dict[str, Any]) -> bool:
    """Whether pieces spell bytes; `described` is the tokenizer's JSON."""
    return any(_mentions(described.get(part), "ByteLevel") for part in ("pre_tokenizer", "decoder"))


def _mentions(part: Any, kind: str) -> bool:
    """Whether a step of the pipeline, or one within it, is of this kind."""
    if isinstance(part, dict):
        return part.get("type") == kind or any(_mentions(value, kind) for value in part.values())
    return isinstance(part, list) and any(_mentions(value, kind) for value in part)
