"""Which tokenizer: a ready one, or what a trained one is made of."""

from dataclasses import dataclass
from typing import Any

from xpt.text.language import find_language
from xpt.text.tokenizer import HANGUL_LETTERS

# Scripts of thousands of characters, most of them rare.
LARGE_SCRIPTS = {"Hangul", "Han"}


@dataclass(frozen=True)
class TokenizerSettings:
    """A ready tokenizer, or how one is trained."""

    name: str | None
    vocab_size: int
    model_type: str
    sentences: int | None  # training sentences that it is made from; None for all
    characters: dict[str, Any]  # which ones it must spell, as `train_tokenizer` takes them


def character_settings(language: str) -> dict[str, Any]:
    """Which characters a vocabulary must spell: alphabets whole, large scripts their frequent part."""
    scripts = find_language(language).scripts
    if "Hangul" in scripts:
        return {"required_characters": HANGUL_LETTERS}
    # Where the script is not known it may be a large one.
    return {} if LARGE_SCRIPTS & set(scripts) or not scripts else {"character_coverage": 1.0}
