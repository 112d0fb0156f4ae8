"""Which tokenizer: a ready one, or what a trained one is made of."""

from dataclasses import dataclass, field
from typing import Any

from xpt.program.settings import option
from xpt.text.language import find_language
from xpt.text.tokenizer import HANGUL_LETTERS

# Scripts of thousands of characters, most of them rare.
LARGE_SCRIPTS = {"Hangul", "Han"}


@dataclass(frozen=True)
class TokenizerSettings:
    """A ready tokenizer, or how one is trained."""

    name: str | None = option(
        None, "A ready tokenizer, Hub id or folder. Default: one is trained on the training sentences."
    )
    vocab_size: int = option(
        32_000, "Pieces of a trained tokenizer, special ones included. As in KLUE-BERT; P21 does not say."
    )
    model_type: str = option(
        "unigram", "SentencePiece model of a trained one; P21 says SentencePiece, unigram is its default."
    )
    sentences: int | None = option(
        500_000, "Training sentences that a trained one is made from, a seeded sample: bounds its memory."
    )
    characters: dict[str, Any] = field(default_factory=dict)  # to spell, as `train_tokenizer` takes them


def character_settings(language: str) -> dict[str, Any]:
    """Which characters a vocabulary must spell: alphabets whole, large scripts their frequent part."""
    scripts = find_language(language).scripts
    if "Hangul" in scripts:
        return {"required_characters": HANGUL_LETTERS}
    # Where the script is not known it may be a large one.
    return {} if LARGE_SCRIPTS & set(scripts) or not scripts else {"character_coverage": 1.0}
