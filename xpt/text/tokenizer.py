"""Sentences become a SentencePiece vocabulary, wrapped as a fast tokenizer that `AutoTokenizer` loads.

In: cleaned sentences, one at a time. Out: a `PreTrainedTokenizerFast` whose ids are SentencePiece's own, with
`<s>`=0, `<pad>`=1, `</s>`=2, `<unk>`=3 and `<mask>` as the last id inside the vocabulary. What happens to a
text on its way to ids stands in `tokenizer_convert.py`. The folder that `save_tokenizer` writes loads without
remote code, and holds the SentencePiece model too, so that the agreement can be checked at any time.
"""

import hashlib
import io
import json
import random
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sentencepiece
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import LARGE_INTEGER

from xpt.program.errors import XPTError
from xpt.text.cut_text import cut_text
from xpt.text.morphemes import Segmenter
from xpt.text.special_tokens import ensure_frame, id_count
from xpt.text.tokenizer_convert import (
    FIRST_PIECES,
    canonical_model,
    normalization_rules,
    sentencepiece_text,
    wrap_sentencepiece,
)

# Not one of the names by which transformers looks for a SentencePiece model to convert by its own rules.
SENTENCEPIECE_FILE = "sentencepiece.model"
_CONFIG_FILE = "tokenizer_config.json"
# The 51 letters that Korean also writes alone (laughter, tears); by frequency edited text keeps few of them.
HANGUL_LETTERS = "".join(map(chr, range(0x3131, 0x3164)))
DEFAULT_CHARACTER_COVERAGE = 0.9995
_PROBE = "a \ue000 가"  # a character of private use, which no vocabulary has
_MODEL_ATTRIBUTE = "sentencepiece_model"  # bytes of the .model file, on the tokenizers that have one
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
    }
    try:
        model = _train(stream, vocab_size, options, candidates)
    except RuntimeError as error:
        if stream.error is not None:
            raise stream.error from None
        raise _explain(str(error), stream.count, vocab_size) from None
    tokenizer = wrap_sentencepiece(model, model_type, byte_fallback, model_max_length)
    setattr(tokenizer, _MODEL_ATTRIBUTE, model)
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and, where it is known, the SentencePiece model.

    The config names the class `PreTrainedTokenizerFast`, which takes `tokenizer.json` as it is: the classes
    of single models rebuild it by rules of their own, and `TokenizersBackend`, which transformers 5 would
    write, is unknown to transformers 4.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The last call's truncation and padding are part of the backend's state, and would be saved with it.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # the Rust library knows no other kind, whatever the system said
        raise error if isinstance(error, OSError) else OSError(str(error)) from error
    path = folder / _CONFIG_FILE
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["model_input_names"] = list(tokenizer.model_input_names)
    if config.get("model_max_length", 0) > LARGE_INTEGER:
        del config["model_max_length"]  # 1e30 stands for no limit
    for passing in (
        "is_local",
        "name_or_path",
        "local_files_only",
        "backend",
    ):  # of this load, not of the file
        config.pop(passing, None)
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    model = getattr(tokenizer, _MODEL_ATTRIBUTE, None)
    if model is not None:
        (folder / SENTENCEPIECE_FILE).write_bytes(model)


def load_tokenizer(name_or_path: str | Path, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Load a fast tokenizer from a folder or the Hub, never with its code, and check that XPT can use it.

    Raises:
        XPTError: nothing there, not a fast tokenizer, no mask or padding token, nothing to put around a text,
            or ids that embeddings cannot have as rows.
    """
    folder = Path(name_or_path)
    if folder.is_dir() and not (folder / "tokenizer.json").is_file():
        # From other files the libraries would build one by guess, with other ids and no word.
        raise XPTError(f"no tokenizer.json in {folder}: give the folder of a fast tokenizer, or train one")
    if not folder.is_dir() and (folder.exists() or folder.is_absolute() or len(folder.parts) > 2):
        raise XPTError(f"no tokenizer folder {folder}: check the path, or give none to train one")
    try:
        # Left out, trust_remote_code is asked for on the terminal where a config.json has an auto_map.
        loaded = AutoTokenizer.from_pretrained(str(name_or_path), revision=revision, trust_remote_code=False)
    except Exception as error:  # the libraries below raise OSError, ValueError and bare Exceptions alike
        reason = str(error).strip().split("\n")[0]
        raise XPTError(f"cannot load a tokenizer from {name_or_path}: {reason}") from error
    tokenizer = _check_usable(loaded, str(name_or_path))
    if (folder / SENTENCEPIECE_FILE).is_file():
        setattr(tokenizer, _MODEL_ATTRIBUTE, (folder / SENTENCEPIECE_FILE).read_bytes())
    return tokenizer


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 of what decides the ids of a text and the meaning of the special ones.

    Truncation and padding (set by each call), the decoder and the maximal length are left out.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    parts = ("added_tokens", "normalizer", "pre_tokenizer", "post_processor", "model")
    roles = {
        role: str(token) for role, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    content = {**{part: backend[part] for part in parts}, "roles": roles}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()


def surface_spans(text: str, offsets: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Character spans without the white space of the word mark, widened to whole composed characters.

    On NFC text this only strips. In decomposed text (NFD) a fast tokenizer's offset ends behind the first
    jamo of its last syllable, since a composed character keeps one source position; here it takes them all.

    Args:
        text: the text that was tokenized, as it was given.
        offsets: the tokenizer's `offset_mapping` of it.

    Returns:
        One span a token; special tokens and bare word marks have empty ones.
    """
    spans = [_surface_span(text, start, end) for start, end in offsets]
    visible = [index for index, (start, end) in enumerate(spans) if start < end]
    if len(visible) > 1:
        # A word mark without a space, that of the text's first word, has the place of the first character.
        first, second = spans[visible[0]], spans[visible[1]]
        if first[0] == second[0] and not text[: first[0]].strip():
            spans[visible[0]] = (first[0], first[0])
    return spans


def _surface_span(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    while start < end < len(text) and _joins(text[start:end], text[end]):
        end += 1
    return start, end


def sentencepiece_processor(tokenizer: PreTrainedTokenizerFast) -> sentencepiece.SentencePieceProcessor:
    """The SentencePiece model that the tokenizer was made from; it expects what `sentencepiece_text` gives.

    Raises:
        XPTError: the tokenizer came without one.
    """
    model = getattr(tokenizer, _MODEL_ATTRIBUTE, None)
    if model is None:
        raise XPTError(
            f"the tokenizer has no {SENTENCEPIECE_FILE} beside it: only tokenizers made by xpt keep one"
        )
    return sentencepiece.SentencePieceProcessor(model_proto=model)


def _train(stream: "_Stream", vocab_size: int, options: dict[str, Any], candidates: str = "") -> bytes:
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
            vocab_size=vocab_size - 1,  # <mask> comes behind the trained pieces
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


def _explain(message: str, sentences: int, vocab_size: int) -> XPTError:
    """What SentencePiece said, as something that a person can act on."""
    if sentences == 0:
        return XPTError("no text to train a tokenizer on: the corpus has no sentence")
    # SentencePiece knows nothing of <mask>, which is one more.
    if found := re.search(r"Vocabulary size too high .* value <= (\d+)", message):
        return XPTError(
            f"a vocabulary of {vocab_size} is more than the text allows ({sentences} sentences): "
            f"use at most {int(found[1]) + 1}, or more text"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return XPTError(
            f"a vocabulary of {vocab_size} does not hold the single characters of the text: "
            f"use at least {int(found[1]) + 1}, or a lower character coverage"
        )
    return XPTError(f"SentencePiece cannot train a vocabulary of {vocab_size}: {message}")


def _check_usable(tokenizer: object, name: str) -> PreTrainedTokenizerFast:
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise XPTError(
            f"the tokenizer {name} is not a fast one ({type(tokenizer).__name__}): give a tokenizer.json"
        )
    try:
        tokenizer.backend_tokenizer.encode(_PROBE)
    except Exception as error:  # the Rust library knows no other kind
        raise XPTError(
            f"the tokenizer {name} cannot read every text ({' '.join(str(error).split())}): "
            "give it an unk_token"
        ) from error
    for role in ("mask", "pad"):
        if getattr(tokenizer, f"{role}_token_id") is None:
            raise XPTError(
                f"the tokenizer {name} has no {role} token, which XPT needs: name one as {role}_token in its "
                f"{_CONFIG_FILE}, or train a new tokenizer"
            )
    if not ensure_frame(tokenizer):
        raise XPTError(
            f"the tokenizer {name} has no two tokens to put around a text: name them in its "
            f"{_CONFIG_FILE}, as bos_token and eos_token or as cls_token and sep_token"
        )
    _check_ids(tokenizer, name)
    # Token type 0 everywhere, as in our own: of the types of a source's model there may be but one.
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _check_ids(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    vocabulary, rows = tokenizer.get_vocab(), id_count(tokenizer)
    if len(set(vocabulary.values())) < len(vocabulary):
        by_id: dict[int, list[str]] = {}
        for piece, index in vocabulary.items():
            by_id.setdefault(index, []).append(piece)
        index, pieces = next((index, pieces) for index, pieces in by_id.items() if len(pieces) > 1)
        raise XPTError(
            f"the tokenizer {name} has {' and '.join(sorted(pieces))} at one id, {index}: number them anew"
        )
    if rows > 2 * len(vocabulary):
        raise XPTError(
            f"the tokenizer {name} has {len(vocabulary):,} pieces and ids up to {rows - 1:,}, so that most "
            "rows of the embeddings would belong to none: number them anew"
        )


def _joins(left: str, char: str) -> bool:
    """Whether NFC melts the character into what stands before it."""
    compose = unicodedata.normalize
    return len(compose("NFC", left + char)) <= len(compose("NFC", left))
