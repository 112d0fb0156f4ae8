"""What a user says of the vocabulary."""

from dataclasses import dataclass
from typing import Literal

from xpt.program.options import option
from xpt.text.tokenizer_settings import TokenizerSettings, character_settings


@dataclass
class TokenizerArguments:
    """Tokenizer: the vocabulary of the target language."""

    tokenizer_name_or_path: str | None = option(
        None, "A ready tokenizer, Hub id or folder. Default: one is trained on the training sentences."
    )
    vocab_size: int = option(
        32_000, "Pieces of a trained tokenizer, special ones included. As in KLUE-BERT; P21 does not say."
    )
    tokenizer_model_type: Literal["unigram", "bpe"] = option(
        "unigram", "SentencePiece model of a trained one; P21 says SentencePiece, unigram is its default."
    )
    tokenizer_sentences: int | None = option(
        500_000, "Training sentences that a trained one is made from, a seeded sample: bounds its memory."
    )

    def settings(self, language: str) -> TokenizerSettings:
        """The same as the tokenizer takes it, for text in `language`."""
        return TokenizerSettings(
            self.tokenizer_name_or_path,
            self.vocab_size,
            self.tokenizer_model_type,
            self.tokenizer_sentences,
            character_settings(language),
        )
