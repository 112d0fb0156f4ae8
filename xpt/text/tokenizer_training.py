"""Sentences become a SentencePiece vocabulary, wrapped as a fast tokenizer.

In: cleaned sentences, one at a time. Out: a `PreTrainedTokenizerFast` whose ids are SentencePiece's own, with
`<s>`=0, `<pad>`=1, `</s>`=2, `<unk>`=3 and `<mask>` as the last id inside the vocabulary. What happens to a
text on its way to ids stands in `tokenizer_convert.py`.
"""

import io
import random
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sentencepiece
from transformers import PreTrainedTokenizerFast

from xpt.program.errors import XPTError
from xpt.text.cut_text import cut_text
from xpt.text.morphemes import Segmenter
from xpt.text.tokenizer_convert import (
    FIRST_PIECES,
    canonical_model,
    normalization_rules,
    sentencepiece_text,
    wrap_sentencepiece,
)

# The 51 letters that Korean also writes alone (laughter, tears); by frequency edited text keeps few of them.
HANGUL_LETTERS = "".join(map(chr, range(0x3131, 0x3164)))
DEFAULT_CHARACTER_COVERAGE = 0.9995
# Part of the result: the sums over sentences are split by thread, so another number gives other last digits.
_TRAINING_THREADS = 2


def train_tokenizer(
    sentences: Iterable[str],
    vocab_size: int,
    model_type: str = "unigram",
    character_coverage: float | None = None,
    *,
    required_characters: str = "",
    byte_fallback: bool = False,
    causal: bool = False,
    max_sentences: int | None = None,
    model_max_length: int | None = None,
    segmenter: Segmenter | None = None,
) -> PreTrainedTokenizerFast:
    """Train a SentencePiece model on the sentences and wrap it. The same input gives the same bytes.

    Args:
        sentences: read once, as a stream; white space around them and empty ones do not matter.
        vocab_size: `len` of the result, the five special tokens included.
        model_type: `unigram` or `bpe`.
        character_coverage: share of the running characters that get a piece of their own; others are `<unk>`.
            None is 0.9995, SentencePiece's advice for scripts of many characters; 1.0 suits alphabets.
        required_characters: characters that get a piece however rare they are, e.g. `HANGUL_LETTERS`.
        byte_fallback: spell uncovered characters in UTF-8 bytes (256 pieces more) instead of `<unk>`.
        causal: for a model that goes on with a text: without `<mask>`, and with nothing put behind a text.
        max_sentences: train on a sample of so many sentences (the same each time); None takes all.
        model_max_length: longest input in tokens, special ones included, written into the tokenizer's config.
        segmenter: says where words are made of morphemes: no piece crosses such a place. It is asked for the
            training text alone, all of which is then held in memory. None makes pieces from whole words.

    Raises:
        XPTError: no text, an unknown model type, or a vocabulary too small or too large for the text.
    """
    if model_type not in ("unigram", "bpe"):
        raise XPTError(f"tokenizer model type {model_type!r} is not known: use 'unigram' or 'bpe'")
    coverage = DEFAULT_CHARACTER_COVERAGE if character_coverage is None else character_coverage
    if not 0.9 <= coverage <= 1.0:
        raise XPTError(
            f"character coverage {coverage} is outside 0.9 to 1.0: use 0.9995 for Korean, 1.0 for alphabets"
        )
    if vocab_size < len(FIRST_PIECES) + 3:
        raise XPTError(
            f"a vocabulary of {vocab_size} has no space for text beside 5 special tokens: raise vocab_size"
        )
    stream = _Stream(sentences if max_sentences is None else _sample(sentences, max_sentences))
    candidates = ""
    if segmenter is not None:
        cut = cut_text(stream, segmenter)
        stream, coverage = _Stream(cut.lines), cut.coverage(coverage)
        candidates = cut.candidates() if model_type == "unigram" else ""
    options = {
        "model_type": model_type,
        "character_coverage": coverage,
        "required_chars": required_characters,
        "byte_fallback": byte_fallback,
        "vocab_size": vocab_size - (not causal),  # <mask> comes behind the trained pieces
    }
    try:
        model = _train(stream, options, candidates)
    except RuntimeError as error:
        if stream.error is not None:
            raise stream.error from None
        raise _explain(str(error), stream.count, vocab_size, int(not causal)) from None
    return wrap_sentencepiece(model, model_type, byte_fallback, model_max_length, causal)


def _train(stream: "_Stream", options: dict[str, Any], candidates: str = "") -> bytes:
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        if candidates:
            file = Path(folder, "candidates.tsv")
            file.write_text(candidates, encoding="utf-8")
            options = {**options, "seed_sentencepieces_file": str(file)}
        rules = Path(folder, "rules.tsv")
        rules.write_text(normalization_rules(), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(stream),
            model_writer=model,
            num_threads=_TRAINING_THREADS,
            normalization_rule_tsv=str(rules),
            max_sentence_length=1 << 20,  # bytes; longer ones would be left out without a word
            bos_id=0,
            pad_id=1,
            eos_id=2,
            unk_id=3,
            minloglevel=2,
            **options,
        )
    return canonical_model(model.getvalue())


def _sample(sentences: Iterable[str], count: int) -> list[str]:
    """`count` of the sentences, all as likely; the same each time, as SentencePiece's own sampling is not."""
    chooser, kept = random.Random(0), list[str]()
    for number, sentence in enumerate(sentences):
        if len(kept) < count:
            kept.append(sentence)
        elif (place := chooser.randrange(number + 1)) < count:
            kept[place] = sentence
    return kept


class _Stream:
    """Hands sentences to SentencePiece as it expects them, counts them, keeps an error of their source."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = sentences
        self.count = 0
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for sentence in self.sentences:
                if sentence.strip():
                    self.count += 1
                    yield sentencepiece_text(sentence)
        except Exception as error:  # SentencePiece would turn it into a RuntimeError with a traceback as text
            self.error = error
            raise


def _explain(message: str, sentences: int, vocab_size: int, masks: int) -> XPTError:
    """What SentencePiece said, as something that a person can act on."""
    if sentences == 0:
        return XPTError("no text to train a tokenizer on: the corpus has no sentence")
    # SentencePiece knows nothing of <mask>, which is one more where there is one.
    if found := re.search(r"Vocabulary size too high .* value <= (\d+)", message):
        return XPTError(
            f"a vocabulary of {vocab_size} is more than the text allows ({sentences} sentences): "
            f"use at most {int(found[1]) + masks}, or more text"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return XPTError(
            f"a vocabulary of {vocab_size} does not hold the single characters of the text: "
            f"use at least {int(found[1]) + masks}, or a lower character coverage"
        )
    return XPTError(f"SentencePiece cannot train a vocabulary of {vocab_size}: {message}")
