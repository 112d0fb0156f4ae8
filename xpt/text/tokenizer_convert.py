"""A trained SentencePiece model becomes a fast tokenizer that gives the same ids.

What the tokenizer does to a text, in order; all of it is stored in `tokenizer.json`, nothing in code:

1. *Special tokens* are cut out first; `<mask>` takes the white space before it along.
2. *Normalization*, the whole of it: NFC; whatever looks like a blank is a space, and so is a literal U+2581;
   invisible characters (controls, soft hyphen, zero-width space, direction marks, byte-order mark, tags) go,
   and so do Hangul fillers and variation selectors where they do not work; a run of spaces is one, none at
   the end. No compatibility folding (NFKC): it turns the letter U+314B of Korean laughter into the conjoining
   jamo U+110F, which no decoder turns back, and rewrites circled and full-width characters, superscripts and
   fractions. Joiners stay, because emoji and Indic words are spelled with them.
3. *Word marks*: a space is `▁` and starts a word. The text itself gets one in front, a span behind a special
   token does not, so that a suffix directly behind `<mask>` differs from a word of its own.
4. *Pieces* by the unigram or BPE model.
5. `<s> A </s>` and `<s> A </s> </s> B </s>`, token type 0 everywhere (there is one row of token types); for a
   causal model, which goes on with a text, `<s> A`, and there is no `<mask>`.

The SentencePiece `.model` carries step 2 as its own rules (`normalization_rules`), all but NFC and what looks
at neighbors (fillers, selectors): the two agree on any text that `sentencepiece_text` gives. A model that was
trained before a rule was added goes on without it.
"""

import struct
import unicodedata
from collections.abc import Iterable, Iterator

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from xpt.text.invisible import (
    BLANKS,
    INVISIBLE,
    LATER_BLANKS,
    LATER_INVISIBLE,
    STRAY_FILLER,
    STRAY_SELECTOR,
    drop_strays,
)

BOS, PAD, EOS, UNK = "<s>", "<pad>", "</s>", "<unk>"
# RoBERTa's order: with pad at 1 the position table of a RoBERTa source is copied row for row.
FIRST_PIECES = (BOS, PAD, EOS, UNK)
MASK = AddedToken("<mask>", special=True, normalized=False, lstrip=True)

_PATHS = {0x12: 54 << 3 | 2, 0x1A: 6 << 3 | 2}  # tags of a part and, in it, of a path
# A power of two. SentencePiece adds scores as 32-bit floats over the whole sentence, `tokenizers` as 64-bit
# ones word by word: of two ways to cut a word that are equally good (11|1 and 1|11) rounding then picks
# different ones, in 1 of 20,000 lines. Multiples of 1/512 add exactly in both, up to a sum of 32,768,
# which is more than 3,000 tokens; no score moves by more than 0.001.
_SCORE_STEPS = 512
MODEL_ATTRIBUTE = "sentencepiece_model"  # bytes of the .model file, on the tokenizers that have one
WORD_MARK = "▁"
_NORMALIZED = {code: " " for code in (*BLANKS, *LATER_BLANKS)}
_NORMALIZED |= dict.fromkeys((*INVISIBLE, *LATER_INVISIBLE), "")
# In the place of a stray selector, until the invisible go: at the head of a text there must be something.
_UNSEEN = "\u200b"


def normalization_rules() -> str:
    """What step 2 of the module's docstring does to single characters, as a rule table for SentencePiece.

    Joining and trimming spaces is SentencePiece's own doing; a rule from space to space it refuses.
    """
    spaces, invisible = (*BLANKS, *LATER_BLANKS), (*INVISIBLE, *LATER_INVISIBLE)
    return "".join(f"{code:X}\t20\n" for code in spaces if code != 0x20) + "".join(
        f"{code:X}\t\n" for code in invisible
    )


def normalized_words(text: str) -> list[str]:
    """The words of what `sentencepiece_text` gave as a SentencePiece model sees them, each with its mark."""
    return [WORD_MARK + word for word in text.translate(_NORMALIZED).split(" ") if word]


def sentencepiece_text(text: str) -> str:
    """The text as a SentencePiece model expects it: NFC, fillers and selectors only where they work."""
    return drop_strays(unicodedata.normalize("NFC", text), _UNSEEN)


def wrap_sentencepiece(
    model: bytes, model_type: str, byte_fallback: bool, model_max_length: int | None, causal: bool = False
) -> PreTrainedTokenizerFast:
    """Wrap a SentencePiece model that begins with `<s> <pad> </s> <unk>`; `<mask>` comes behind its pieces.

    Args:
        model: the bytes of the `.model` file; what `canonical_model` gave.
        model_type: `unigram` or `bpe`, as trained.
        byte_fallback: as trained.
        model_max_length: longest input in tokens, or None for no limit.
        causal: for a model that goes on with a text: there is no `<mask>`, and no `</s>` behind a text.
    """
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [(processor.id_to_piece(index), processor.get_score(index)) for index in range(len(processor))]
    limit = {} if model_max_length is None else {"model_max_length": model_max_length}
    mask = [] if causal else [(MASK.content, 0.0)]
    of_encoders = {} if causal else {"cls_token": BOS, "sep_token": EOS, "mask_token": MASK}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_build_pipeline(
            [*pieces, *mask], _normalizer(processor), model_type, byte_fallback, causal
        ),
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        pad_token=PAD,
        **of_encoders,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        **limit,
    )
    setattr(tokenizer, MODEL_ATTRIBUTE, model)
    return tokenizer


def canonical_model(model: bytes) -> bytes:
    """Round the scores of a SentencePiece `.model`'s pieces, and leave out the paths of temporary files.

    Without these the same input gives the same bytes. The file is a protobuf message: field 1 is a piece (its
    score field 2, a 32-bit float), field 2 the trainer (the path of candidates its field 54), field 3 the
    normalizer (the path of the rule table its field 6).
    """
    parts = []
    for tag, value in _fields(model):
        if tag == 0x0A:
            value = b"".join(
                _field(inner, _rounded(content) if inner == 0x15 else content)
                for inner, content in _fields(value)
            )
        elif tag in _PATHS:
            value = b"".join(
                _field(inner, content) for inner, content in _fields(value) if inner != _PATHS[tag]
            )
        parts.append(_field(tag, value))
    return b"".join(parts)


def _rounded(score: bytes) -> bytes:
    (value,) = struct.unpack("<f", score)
    return struct.pack("<f", round(value * _SCORE_STEPS) / _SCORE_STEPS)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each field of a protobuf message; the content of an integer is its encoded bytes."""
    position = 0
    while position < len(message):
        tag, position = _read_varint(message, position)
        match tag & 7:  # the wire type
            case 0:
                end = _read_varint(message, position)[1]
            case 2:
                length, position = _read_varint(message, position)
                end = position + length
            case wire_type:
                end = position + {1: 8, 5: 4}[wire_type]
        yield tag, message[position:end]
        position = end


def _field(tag: int, content: bytes) -> bytes:
    return _varint(tag) + (_varint(len(content)) if tag & 7 == 2 else b"") + content


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """A protobuf integer and the position behind it."""
    value, shift = 0, 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _normalizer(processor: sentencepiece.SentencePieceProcessor) -> normalizers.Normalizer:
    spaces, invisible = _character_class(BLANKS), _character_class(INVISIBLE)
    strays = []
    if not processor.normalize(chr(LATER_BLANKS[0])):
        spaces += _character_class(LATER_BLANKS)
        invisible += _character_class(LATER_INVISIBLE)
        strays = [
            normalizers.Replace(Regex(STRAY_SELECTOR), _UNSEEN),
            normalizers.Replace(Regex(STRAY_FILLER), " "),
        ]
    return normalizers.Sequence(
        [
            normalizers.NFC(),
            *strays,
            # Not only deleted: the first word's mark goes to a span that begins where the text does, and
            # behind a deleted byte-order mark none would.
            normalizers.Replace(Regex(rf"\A[{spaces}{invisible}]+"), " "),
            normalizers.Replace(Regex(f"[{invisible}]"), ""),
            normalizers.Replace(Regex(f"[{spaces}]+"), " "),
            # The right side only: each span between special tokens is normalized by itself, and a space at
            # the left of such a span is the word mark of what follows.
            normalizers.Replace(Regex(r" \z"), ""),
        ]
    )


def _character_class(codes: Iterable[int]) -> str:
    return "".join(f"\\x{{{code:x}}}" for code in codes)


def _build_pipeline(
    pieces: list[tuple[str, float]],
    normalizer: normalizers.Normalizer,
    model_type: str,
    byte_fallback: bool,
    causal: bool,
) -> Tokenizer:
    model: models.Model
    ids = {piece: index for index, (piece, _) in enumerate(pieces)}
    if model_type == "unigram":
        model = models.Unigram(pieces, unk_id=ids[UNK], byte_fallback=byte_fallback)
    else:
        merges = _merges(pieces[len(FIRST_PIECES) : None if causal else -1])
        model = models.BPE(ids, merges, unk_token=UNK, fuse_unk=True, byte_fallback=byte_fallback)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=True)
    decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoder]) if byte_fallback else decoder
    around = (f"{BOS}:0 $A:0 {EOS}:0", f"{BOS}:0 $A:0 {EOS}:0 {EOS}:0 $B:0 {EOS}:0")
    single, pair = (f"{BOS}:0 $A:0", f"{BOS}:0 $A:0 $B:0") if causal else around
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(BOS, ids[BOS]), (EOS, ids[EOS])]
    )
    special = [AddedToken(piece, special=True, normalized=False) for piece in FIRST_PIECES]
    tokenizer.add_special_tokens([*special, *([] if causal else [MASK])])
    return tokenizer


def _merges(pieces: list[tuple[str, float]]) -> list[tuple[str, str]]:
    """All pairs of pieces that spell a piece, best piece first.

    SentencePiece merges whichever neighbors make the best-scored piece; `tokenizers` wants the pairs.
    """
    names = {piece for piece, _ in pieces}
    merges: list[tuple[str, str]] = []
    for piece, _ in sorted(pieces, key=lambda pair: -pair[1]):
        cuts = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        merges.extend((left, right) for left, right in cuts if left in names and right in names)
    return merges
