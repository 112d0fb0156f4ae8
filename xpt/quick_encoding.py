"""Many sentences become ids at once, by SentencePiece itself where the tokenizer was made from its model.

SentencePiece takes a fifteenth of the processor time of `tokenizers` for the same ids: that the two agree is
what `tokenizer_convert.py` is about. A tokenizer that is not exactly that conversion, and a text in which the
two may differ (U+0000, fillers and variation selectors, more tokens than scores add up exactly for), is left
to it. Either way a special token that a text spells out is text.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence

from transformers import PreTrainedTokenizerFast

from xpt.environment import available_cores
from xpt.errors import XPTError
from xpt.invisible import FILLERS_AND_SELECTORS
from xpt.special_tokens import text_reader
from xpt.tokenizer import sentencepiece_processor, tokenizer_fingerprint
from xpt.tokenizer_convert import wrap_sentencepiece

Encode = Callable[[list[str]], Sequence[Sequence[int]]]
_LONGEST = 2_000  # characters, no more tokens than that; scores add exactly up to 3,000


def batch_encoder(tokenizer: PreTrainedTokenizerFast) -> Encode:
    """A function from sentences to the ids of each, without special ones: those that `text_reader` gives."""
    reader = text_reader(tokenizer)

    def by_tokenizer(sentences: list[str]) -> list[list[int]]:
        encoded = reader.encode_batch_fast(sentences, add_special_tokens=False)
        return [one.ids for one in encoded]

    if not is_converted(tokenizer):
        return by_tokenizer
    processor, threads = sentencepiece_processor(tokenizer), available_cores()
    differs = re.compile(rf"[\0{FILLERS_AND_SELECTORS}]")  # or may: what stays depends on the neighbors

    def by_sentencepiece(sentences: list[str]) -> list[list[int]]:
        composed = [unicodedata.normalize("NFC", sentence) for sentence in sentences]
        ids = processor.encode(composed, num_threads=threads)
        odd = [
            index
            for index, sentence in enumerate(sentences)
            if len(sentence) > _LONGEST or differs.search(sentence)
        ]
        for index, given in zip(odd, by_tokenizer([sentences[index] for index in odd]), strict=True):
            ids[index] = given
        return ids

    return by_sentencepiece


def is_converted(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the tokenizer is what its SentencePiece model converts to, with nothing added or changed."""
    try:
        model = sentencepiece_processor(tokenizer).serialized_model_proto()
        described = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
        if described["byte_fallback"]:  # several tokens a character
            return False
        converted = wrap_sentencepiece(model, described["type"].lower(), False, None)
    except (XPTError, RuntimeError, KeyError, ValueError):  # none there, or another's
        return False
    return tokenizer_fingerprint(converted) == tokenizer_fingerprint(tokenizer)
