"""Which tokenizer: a ready one, or what a trained one is made of."""

from dataclasses import asdict, dataclass, field
from typing import Any

from xpt.program.settings import option
from xpt.text.language import find_language
from xpt.text.morphemes import Segmenter, open_segmenter
from xpt.text.tokenizer_training import HANGUL_LETTERS

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
    morphemes: str | None = option(
        None,
        "true: no piece of a trained one crosses morphemes, as an analyzer finds them in the training text "
        "(Korean; pip install 'xpt[morphemes]'). For any language: a file of words, one a line, cut by "
        "blanks. Default: false.",
    )  # as `name_segmenter` names it

    def segmenter(self) -> Segmenter | None:
        """Who cuts the training text into morphemes. Raises `XPTError` where it is not there."""
        return None if self.morphemes is None else open_segmenter(self.morphemes)

    def decisive(self) -> dict[str, Any]:
        """What decides the vocabulary of a text, by name; of a segmenter, if there is one, its identity."""
        values, segmenter = asdict(self), self.segmenter()
        del values["morphemes"]
        return values if segmenter is None else {**values, "morphemes": segmenter.identity}


def character_settings(language: str) -> dict[str, Any]:
    """Which characters a vocabulary must spell: alphabets whole, large scripts their frequent part."""
    scripts = find_language(language).scripts
    if "Hangul" in scripts:
        return {"required_characters": HANGUL_LETTERS}
    # Where the script is not known it may be a large one.
    return {} if LARGE_SCRIPTS & set(scripts) or not scripts else {"character_coverage": 1.0}
