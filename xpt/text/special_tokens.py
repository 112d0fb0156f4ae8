"""What of a tokenizer is not text: the tokens around a text, the other special ones, ids of nothing.

Tokenizers name these in many ways: `<s> </s>` or `[CLS] [SEP]`, as roles, as added tokens, in the frame that
is put around each text. What post-training needs of them is settled here, for any fast tokenizer.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

FRAMES = (("bos", "eos"), ("cls", "sep"))  # roles that may stand around a text, where nothing stands there
# U+10FFFF is no character (Unicode 23.7), so that no text holds it: a piece with it is never found in one.
_NO_CHARACTER = "\U0010ffff"


@dataclass(frozen=True)
class SpecialIds:
    """the ids that batches treat specially; `reserved` are never masked nor drawn as a replacement.

    `bos` and `eos` stand around each text: `<s>` and `</s>`, or BERT's `[CLS]` and `[SEP]`. A causal model's
    tokenizer has no `mask`, and puts the first alone before a text, which is to be gone on with.
    """

    bos: int
    pad: int
    eos: int
    mask: int | None
    vocab_size: int
    reserved: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "SpecialIds":
        """Read them from a tokenizer that `load_tokenizer` gave or `train_tokenizer` made."""
        frame = frame_of(tokenizer) or opening_of(tokenizer)
        if frame is None:
            raise ValueError("the tokenizer does not put one token before and one behind a text")
        return cls(
            bos=frame[0],
            pad=tokenizer.pad_token_id,
            eos=frame[1],
            mask=tokenizer.mask_token_id,
            vocab_size=id_count(tokenizer),
            reserved=tuple(sorted(special_ids(tokenizer) | unused_ids(tokenizer))),
        )

    def ordinary_ids(self) -> np.ndarray:
        """All ids but the reserved ones, shape (vocab_size - len(reserved),)."""
        return np.setdiff1d(np.arange(self.vocab_size), self.reserved)


def special_ids(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Ids of all tokens with a role, or added as special without one."""
    added = (index for index, token in tokenizer.added_tokens_decoder.items() if token.special)
    return {*tokenizer.all_special_ids, *added, *(frame_of(tokenizer) or ())}


def id_count(tokenizer: PreTrainedTokenizerFast) -> int:
    """One more than the largest id: rows that embeddings need.

    `len` counts pieces, which are fewer where ids were left out, as by a `vocab.txt` with a line twice.
    """
    return 1 + max(tokenizer.get_vocab().values())


def unused_ids(tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Ids below `id_count` that stand for no piece: no text has them, and none may be drawn."""
    return set(range(id_count(tokenizer))) - set(tokenizer.get_vocab().values())


def frame_of(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int] | None:
    """The ids that the tokenizer puts before and behind a text; None where it does not put one of each."""
    encoding = tokenizer.backend_tokenizer.encode("a")
    real = [place for place, seen in enumerate(encoding.attention_mask) if seen]  # a file may say to pad
    ids, added = (
        [values[place] for place in real] for values in (encoding.ids, encoding.special_tokens_mask)
    )
    around = sum(added) == 2 and len(ids) >= 2 and added[0] and added[-1]
    return (ids[0], ids[-1]) if around else None


def opening_of(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int] | None:
    """Of a causal model's tokenizer the id that it puts before a text, and that which ends one; else None."""
    encoding = tokenizer.backend_tokenizer.encode("a")
    alone = sum(encoding.special_tokens_mask) == 1 and encoding.special_tokens_mask[0]
    end = tokenizer.eos_token_id
    return (encoding.ids[0], end) if alone and end is not None else None


def ensure_opening(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Let a causal model's tokenizer put one token before each text and none behind it.

    It is the first one's, or where there is none the one that ends a text, as in GPT-2. False where it has no
    token that ends one.
    """
    if tokenizer.eos_token is None:
        return False
    if opening_of(tokenizer) is None:
        first = tokenizer.bos_token or tokenizer.eos_token
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=[first, "$A"],
            pair=[first, "$A", "$B"],
            special_tokens=[(first, tokenizer.convert_tokens_to_ids(first))],
        )
    return True


def ensure_frame(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Let the tokenizer put a token before and one behind each text; what it puts already stays.

    So it gives to whoever loads it what the model was trained on. False where it has no two such tokens.
    """
    if frame_of(tokenizer) is not None:
        return True
    for start, end in FRAMES:
        before, behind = getattr(tokenizer, f"{start}_token"), getattr(tokenizer, f"{end}_token")
        if before is not None and behind is not None:
            around = dict.fromkeys((before, behind))  # GPT-2 has one token for both
            known = [(token, tokenizer.convert_tokens_to_ids(token)) for token in around]
            tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
                single=[before, "$A", behind],
                pair=[before, "$A", behind, "$B", behind],
                special_tokens=known,
            )
            return True
    return False


def text_reader(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """A copy that reads a special token spelled out in a text as the characters it is spelled with.

    The library can switch off that special tokens are cut out first, but many models then find them as
    pieces: so here their names are ones that no text has. Ids stay; those of special tokens never come out,
    apart from the one of unknown characters. Who gets it must not change it: there is one for all callers.
    """
    hidden = frozenset(tokenizer.convert_ids_to_tokens(sorted(special_ids(tokenizer))))
    return _reader(tokenizer.backend_tokenizer.to_str(), hidden)


@lru_cache(maxsize=4)  # a third of a second for 32,000 pieces
def _reader(tokenizer: str, hidden: frozenset[str]) -> Tokenizer:
    described = json.loads(tokenizer)
    renamed = {token: f"{_NO_CHARACTER}{token}{_NO_CHARACTER}" for token in hidden}
    for token in described["added_tokens"]:
        if token["content"] in renamed:
            # Normalizing would take away what hides the name.
            token |= {"content": renamed[token["content"]], "normalized": False, "special": True}
    _rename(described["model"], renamed)
    return Tokenizer.from_str(json.dumps(described | {"truncation": None, "padding": None}))


def _rename(model: dict[str, Any], renamed: dict[str, str]) -> None:
    """Rename pieces in the JSON of a model of `tokenizers`: a list of them (Unigram) or a table."""
    if isinstance(model["vocab"], list):
        model["vocab"] = [[renamed.get(piece, piece), score] for piece, score in model["vocab"]]
    else:
        model["vocab"] = {renamed.get(piece, piece): index for piece, index in model["vocab"].items()}
    if model.get("unk_token") in renamed:
        model["unk_token"] = renamed[model["unk_token"]]
    if model.get("merges"):
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [
            (left, right)
            for left, right in model["merges"]
            if renamed.keys().isdisjoint((left, right, left + right.removeprefix(prefix)))
        ]
