"""Pieces of two tokenizers, spelled alike so that they can be compared, and special tokens by their role.

A piece is spelled as text with a word mark `▁` in front where it starts a word, whether the tokenizer writes
that as GPT-2 (`Ġ`), SentencePiece (`▁`), WordPiece (`##` where it does not) or XLM (`</w>` behind the word).
"""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import decoders
from transformers import PreTrainedTokenizerFast

from xpt.text.special_tokens import frame_of, id_count, special_ids, text_reader
from xpt.text.word_marks import WORD, is_byte_level

REPLACEMENT = "\ufffd"  # what bytes of half a character are read as
_LETTERS_AND_NUMBERS = ("L", "M", "N")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What starts may know of a tokenizer.

    Args:
        pieces: by id; None for special tokens, bytes that are no character, and ids of nothing.
        roles: ids of special tokens by what they are for: bos, eos, pad, unk, mask.
        encode: from texts to the ids of each, without special tokens.
        folds_case: whether capitals are read as small letters.
        word_prefix: what must stand before a word that is read alone.
    """

    pieces: tuple[str | None, ...]
    roles: Mapping[str, int]
    encode: Callable[[Sequence[str]], list[list[int]]]
    folds_case: bool = False
    word_prefix: str = ""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "Vocabulary":
        """Read a tokenizer that puts a token before and one behind each text."""
        reader = text_reader(tokenizer)

        def encode(texts: Sequence[str]) -> list[list[int]]:
            return [one.ids for one in reader.encode_batch_fast(list(texts), add_special_tokens=False)]

        spell = _speller(json.loads(tokenizer.backend_tokenizer.to_str()))
        special = special_ids(tokenizer)
        pieces: list[str | None] = [None] * id_count(tokenizer)
        for piece, index in tokenizer.get_vocab().items():
            pieces[index] = None if index in special else spell(piece)
        frame = frame_of(tokenizer) or (None, None)
        known = {"bos": frame[0], "eos": frame[1]}
        known |= {role: getattr(tokenizer, f"{role}_token_id") for role in ("pad", "unk", "mask")}
        normalizer = tokenizer.backend_tokenizer.normalizer
        folds_case = normalizer is not None and "a" in normalizer.normalize_str("A")
        prefix = " " if encode([" a"]) != encode(["a"]) else ""
        roles = {role: index for role, index in known.items() if index is not None}
        return cls(tuple(pieces), roles, encode, folds_case, prefix)

    def encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """Ids of words as they stand in a text; none for a word with an unknown character."""
        unknown = self.roles.get("unk")
        found = self.encode([self.word_prefix + word for word in words])
        return [[] if unknown in ids else ids for ids in found]


def by_role(target: Vocabulary, source: Vocabulary) -> dict[int, int]:
    """Special tokens of the target that the source has too, whatever they are called: target id, source id.

    The padding is left out, whose row is zero.
    """
    shared = [role for role in target.roles if role in source.roles and role != "pad"]
    return {target.roles[role]: source.roles[role] for role in shared}


def identical_pieces(target: Vocabulary, source: Vocabulary) -> dict[int, int]:
    """Pieces that both spell alike: target id, source id.

    Capitals become small where the source knows no capitals. Marks and symbols need not agree in whether they
    start a word: WordPiece cuts them off both sides, so that it cannot say.
    """
    ids: dict[str, int] = {}
    for index, piece in enumerate(source.pieces):
        if piece is not None:
            ids.setdefault(piece, index)
    found = {}
    for index, piece in enumerate(target.pieces):
        if piece is None:
            continue
        forms = [piece] if not _is_symbols(piece) else [piece, _other_form(piece)]
        forms += [form.lower() for form in forms if source.folds_case]
        match = next((ids[form] for form in forms if form in ids), None)
        if match is not None:
            found[index] = match
    return found


def same_meaning(target: Vocabulary, source: Vocabulary) -> dict[int, int]:
    """Identical pieces that mean the same in any language: target id, source id.

    Those without a letter (digits, marks), and those in another script than most of the target's pieces: in a
    Korean text `km` is the source's, while what a Welsh and an English word share may be the spelling alone.
    """
    scripts = Counter(script for piece in target.pieces if piece for script in _scripts(piece))
    own = max(scripts, key=lambda script: (scripts[script], script), default=None)
    pairs = identical_pieces(target, source)
    return {one: other for one, other in pairs.items() if own not in _scripts(target.pieces[one] or "")}


def _scripts(piece: str) -> set[str]:
    """Scripts of its letters, by the first word of their names (LATIN, HANGUL)."""
    return {unicodedata.name(char, "?").split()[0] for char in piece if char.isalpha()}


def _is_symbols(piece: str) -> bool:
    text = piece.removeprefix(WORD)
    return bool(text) and not any(unicodedata.category(char)[0] in _LETTERS_AND_NUMBERS for char in text)


def _other_form(piece: str) -> str:
    return piece.removeprefix(WORD) if piece.startswith(WORD) else WORD + piece


def _speller(described: dict[str, Any]) -> Callable[[str], str | None]:
    """From a piece as the tokenizer writes it to our spelling, composed (NFC); None for what is no text."""
    model = described["model"]
    if is_byte_level(described):
        decoder = decoders.ByteLevel()

        def of_bytes(piece: str) -> str | None:
            text = decoder.decode([piece])
            if REPLACEMENT in text:  # a part of a character
                return None
            return unicodedata.normalize("NFC", text.replace(" ", WORD))

        return of_bytes
    if model["type"] == "WordPiece":
        within = model["continuing_subword_prefix"]

        def of_word_pieces(piece: str) -> str | None:
            text = piece.removeprefix(within) if piece.startswith(within) else WORD + piece
            return unicodedata.normalize("NFC", text)

        return of_word_pieces
    behind = model.get("end_of_word_suffix")
    if behind:  # it tells ends, not starts; most pieces with an end are whole words
        return lambda piece: unicodedata.normalize(
            "NFC", WORD + piece.removesuffix(behind) if piece.endswith(behind) else piece
        )
    byte_pieces = bool(model.get("byte_fallback"))
    return lambda piece: None if byte_pieces and _is_byte(piece) else unicodedata.normalize("NFC", piece)


def _is_byte(piece: str) -> bool:
    return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
