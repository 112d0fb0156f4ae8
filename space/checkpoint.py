"""A checkpoint that answers: masks filled, texts judged, attention shown. Needs torch and transformers only.

Safetensors alone are read. A checkpoint's own code runs only where the operator of the page named the
checkpoint and what runs is settled: a local folder, or a Hub id with a full commit hash.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, AutoTokenizer

COMMIT = re.compile(r"[0-9a-f]{40}")
MASKS = ("<mask>", "[MASK]")  # what a visitor may type, whatever the tokenizer calls it
WORD_MARK, CONTINUED = "▁", "##"
MAX_CHARACTERS, MAX_MASKS, MAX_DRAWN_TOKENS = 2_000, 5, 32


class OperatorError(Exception):
    """A checkpoint that cannot be opened: one line for the one who started the page."""


class InputError(Exception):
    """A text that cannot be used.

    Args:
        key: what is wrong, an entry of `wording.TEXTS`.
        **facts: what the entry's sentence names.
    """

    def __init__(self, key: str, **facts: Any) -> None:
        super().__init__(key)
        self.key, self.facts = key, facts


@dataclass(frozen=True)
class LayerAttention:
    """Attention of one layer: `weights` (heads, length, length), rows look and columns are looked at."""

    name: str
    number: int | None
    weights: Tensor


class Checkpoint:
    """A model and its tokenizer.

    Args:
        given: a folder, a Hub id, or `id@commit`.
        auto_class: the Auto class of the wanted head.
        title: what the page calls it; by default the last part of its name.

    Raises:
        OperatorError: it cannot be opened; one line says why.
    """

    def __init__(self, given: str, auto_class: Any = AutoModelForMaskedLM, title: str | None = None) -> None:
        self.title = title or given.partition("@")[0].rstrip("/").split("/")[-1]
        self.model, self.tokenizer = _open(given, auto_class)
        self.config = self.model.config
        self._pieces_mark_words = any(piece.startswith(WORD_MARK) for piece in self.tokenizer.get_vocab())

    @property
    def max_tokens(self) -> int:
        """Tokens that it can read; positions up to the padding's are unused in a RoBERTa."""
        return self.config.max_position_embeddings - (self.config.pad_token_id or 0) - 1

    @property
    def heads(self) -> int:
        """Attention heads a layer."""
        return self.config.num_attention_heads

    @property
    def is_trelm(self) -> bool:
        """Whether a TRILayer stands between the halves of the model."""
        return bool(self.config.model_type == "trelm-roberta")

    def fill(self, text: str, top: int = 5) -> list[list[tuple[str, float]]]:
        """For each mask in `text` the `top` likeliest pieces with their probabilities, likeliest first.

        Raises:
            InputError: nothing to read, no mask or too many, too long.
        """
        self._check(text)
        inputs = self._encode(_with_mask(text, self.tokenizer.mask_token))
        places = (inputs["input_ids"][0] == self.tokenizer.mask_token_id).nonzero().flatten()
        if not len(places):
            raise InputError("no_mask")
        if len(places) > MAX_MASKS:
            raise InputError("many_masks", most=MAX_MASKS)
        with torch.inference_mode():
            logits = self.model(**inputs).logits[0, places]  # (masks, vocabulary)
        shares, ids = logits.float().softmax(-1).topk(min(top, logits.shape[-1]))
        return [
            list(zip(self.shown(row.tolist()), share.tolist(), strict=True))
            for row, share in zip(ids, shares, strict=True)
        ]

    def classify(self, text: str, second: str | None = None) -> list[tuple[str, float]]:
        """Labels and their probabilities for a text, or a pair of texts, likeliest first.

        Raises:
            InputError: nothing to read, too long.
        """
        for each in (text,) if second is None else (text, second):
            self._check(each)
        with torch.inference_mode():
            logits = self.model(**self._encode(text, second)).logits[0]
        names = [str(self.config.id2label[number]) for number in range(len(logits))]
        shares = logits.float().softmax(-1).tolist()
        return sorted(zip(names, shares, strict=True), key=lambda pair: -pair[1])

    def attention(self, text: str) -> tuple[list[str], list[LayerAttention]]:
        """The tokens of `text` as a reader sees them, and the attention of the ITLs, and of a TRILayer.

        A model without ITLs shows its first and its last layer, where they would stand.

        Raises:
            InputError: nothing to read, too long to be drawn.
        """
        self._check(text)
        inputs = self._encode(_with_mask(text, self.tokenizer.mask_token))
        length = inputs["input_ids"].shape[1]
        if length > MAX_DRAWN_TOKENS:
            raise InputError("too_long_to_draw", length=length, most=MAX_DRAWN_TOKENS)
        with torch.inference_mode():
            layers = self.model(**inputs, output_attentions=True).attentions
        places = self._places(len(layers))
        drawn = [LayerAttention(name, n, layers[i][0].float()) for name, n, i in places]
        return self.shown(inputs["input_ids"][0].tolist()), drawn

    def shown(self, ids: Sequence[int]) -> list[str]:
        """Pieces as a reader sees them: one that continues the word before it begins with `##`."""
        return [self._shown(piece, i) for piece, i in zip(self._pieces(ids), ids, strict=True)]

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        return self.tokenizer.convert_ids_to_tokens(list(ids))

    def _shown(self, piece: str, number: int) -> str:
        if piece in self.tokenizer.all_special_tokens or piece.startswith(CONTINUED):
            return piece
        if not self._pieces_mark_words:  # WordPiece, or bytes that only decoding makes legible
            return self.tokenizer.decode([number]).strip() or "␣"
        if piece.startswith(WORD_MARK):
            return piece.removeprefix(WORD_MARK) or "␣"
        return CONTINUED + piece

    def _places(self, count: int) -> list[tuple[str, int | None, int]]:
        """Name, number (where several have the name) and index of the layers to be drawn, of `count`."""
        before, after = (getattr(self.config, f"num_itl_{side}", 0) for side in ("in", "out"))
        first = [("itl_in", i + 1 if before > 1 else None, i) for i in range(before)]
        last = [("itl_out", i + 1 if after > 1 else None, count - after + i) for i in range(after)]
        if not before and not after:
            first, last = [("first_layer", None, 0)], [("last_layer", None, count - 1)]
        middle = before + self.config.num_hidden_layers // 2
        return first + ([("tri", None, middle)] if self.is_trelm else []) + last

    def _check(self, text: str) -> None:
        if not text.strip():
            raise InputError("empty")
        if len(text) > MAX_CHARACTERS:  # before the tokenizer has to read it
            raise InputError("many_characters", length=len(text), most=MAX_CHARACTERS)

    def _encode(self, text: str, second: str | None = None) -> dict[str, Tensor]:
        inputs = self.tokenizer(text, second, return_tensors="pt", verbose=False)
        length = inputs["input_ids"].shape[1]
        if length > self.max_tokens:
            raise InputError("too_long", length=length, most=self.max_tokens)
        return dict(inputs)


def _open(given: str, auto_class: Any) -> tuple[Any, Any]:
    name, _, revision = given.partition("@") if not Path(given).is_dir() else (given, "", "")
    trusted = Path(name).is_dir() or COMMIT.fullmatch(revision) is not None
    where = {"revision": revision} if revision else {}
    try:
        model = auto_class.from_pretrained(
            name, trust_remote_code=trusted, use_safetensors=True, attn_implementation="eager", **where
        )
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False, **where)
    except (OSError, ValueError) as error:
        if not trusted and "trust_remote_code" in str(error):
            raise OperatorError(
                f"{given} brings code of its own; name the commit whose code you have read, {name}@COMMIT "
                "with 40 hexadecimal digits, or a RoBERTa export, which brings none"
            ) from error
        raise OperatorError(f"{given} cannot be opened: {' '.join(str(error).split())}") from error
    return model.eval(), tokenizer


def _with_mask(text: str, mask: str) -> str:
    for typed in MASKS:
        text = text.replace(typed, mask)
    return text
