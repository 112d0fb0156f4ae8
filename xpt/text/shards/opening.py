"""A prepared folder as a run takes it: tokenizer, held-out text and counts, checked against the recipe."""

from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.text.corpus import Corpus
from xpt.text.language import find_language
from xpt.text.shards.store import ShardStore
from xpt.text.tokenizer import load_tokenizer, tokenizer_fingerprint

TOKENIZER, CORPUS, COUNTS = "tokenizer", "corpus", "counts.npy"  # in the prepared folder


@dataclass(frozen=True)
class PreparedShards:
    """What a prepared folder holds beside its shards."""

    name: str
    language: str
    corpus: Corpus  # its report tells of all text; sentences are there of the held-out splits alone
    tokenizer: PreTrainedTokenizerFast
    counts: np.ndarray  # of each id in the training split, (vocab_size,)

    def require_language(self, language: str) -> None:
        """Raise `XPTError` for a recipe of another language."""
        if find_language(language).tag != self.language:
            raise XPTError(
                f"--language is {language}, but the text of {self.name} is {self.language}: "
                f"give --language {self.language}"
            )

    def require_tokenizer(self, other: PreTrainedTokenizerFast, whose: str) -> None:
        """Raise `XPTError` for a tokenizer that would read the ids as other pieces."""
        if tokenizer_fingerprint(other) != tokenizer_fingerprint(self.tokenizer):
            raise XPTError(
                f"the ids of {self.name} were made with another tokenizer than {whose}, or prepare the "
                "shards with that one"
            )


def open_shards(store: ShardStore) -> PreparedShards:
    """Fetch what is small. Raises `XPTError` where the ids were made with another tokenizer."""
    folder = store.folder
    tokenizer = load_tokenizer(str(folder / TOKENIZER))
    if tokenizer_fingerprint(tokenizer) != store.index.tokenizer:
        raise XPTError(
            f"{store.name}/{TOKENIZER} is not the tokenizer that made the ids; copy or prepare the folder "
            "again"
        )
    return PreparedShards(
        store.name, store.index.language, Corpus(folder / CORPUS), tokenizer, np.load(folder / COUNTS)
    )
