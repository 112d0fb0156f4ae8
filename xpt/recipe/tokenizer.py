"""What a user says of the vocabulary."""

from dataclasses import dataclass
from typing import Literal

from xpt.program.errors import XPTError
from xpt.program.settings import check_values, option_of
from xpt.text.morphemes import name_segmenter
from xpt.text.tokenizer_settings import TokenizerSettings, character_settings


@dataclass
class TokenizerArguments:
    """Tokenizer: the vocabulary of the target language.

    Raises:
        XPTError: a value that is none of the choices, or morphemes for a tokenizer that is not trained.

    Example:
        >>> xpt.TokenizerArguments(vocab_size=8000).tokenizer_model_type
        'unigram'
    """

    tokenizer_name_or_path: str | None = option_of(TokenizerSettings, "name")
    vocab_size: int = option_of(TokenizerSettings, "vocab_size")
    tokenizer_model_type: Literal["unigram", "bpe"] = option_of(TokenizerSettings, "model_type")
    tokenizer_sentences: int | None = option_of(TokenizerSettings, "sentences")
    tokenizer_morphemes: str | None = option_of(TokenizerSettings, "morphemes")

    def __post_init__(self) -> None:
        check_values(self)
        given = self.tokenizer_morphemes
        self.tokenizer_morphemes = {"true": "true", "false": None}.get(str(given).lower(), given)
        if self.tokenizer_morphemes and self.tokenizer_name_or_path:
            raise XPTError(
                "--tokenizer_morphemes is for a tokenizer that is trained, --tokenizer_name_or_path names a "
                "ready one; leave one of them out"
            )

    def settings(self, language: str) -> TokenizerSettings:
        """The same as the tokenizer takes it, for text in `language`."""
        return TokenizerSettings(
            self.tokenizer_name_or_path,
            self.vocab_size,
            self.tokenizer_model_type,
            self.tokenizer_sentences,
            character_settings(language),
            name_segmenter(self.tokenizer_morphemes, language) if self.tokenizer_morphemes else None,
        )
