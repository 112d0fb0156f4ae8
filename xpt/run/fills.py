"""What a model fills in for masked words of held-out sentences: the reader's own test."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import torch
from tokenizers import Encoding
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from xpt.program.formatting import wrap
from xpt.text.special_tokens import text_reader

CONTINUED = "##"
T = TypeVar("T")


@dataclass(frozen=True)
class Prompt:
    """A held-out sentence with one whole word masked; that word is one piece, so that it can be filled."""

    ids: list[int]
    position: int
    text: str
    answer: str


def choose_prompts(
    sentences: Sequence[str], tokenizer: PreTrainedTokenizerFast, count: int, max_length: int
) -> list[Prompt]:
    """Sentences of 12 to 40 tokens with such a word; the middlemost one is masked.

    Args:
        sentences: in the order of their documents.
        tokenizer: as `load_tokenizer` gives it.
        count: of parts of equal size; each gives its first such sentence, so that the documents differ.
        max_length: tokens of a sentence, special ones included.
    """
    reader = text_reader(tokenizer)

    def prompt(sentence: str) -> Prompt | None:
        encoding = reader.encode(sentence)
        words = _whole_words(sentence, encoding) if is_shown(len(encoding), max_length) else []
        if not words or tokenizer.mask_token in sentence:  # which of two would be meant?
            return None
        position, begin, end = min(words, key=lambda word: abs(word[0] - len(encoding) // 2))
        ids, shown = encoding.ids, f"{sentence[:begin]}{tokenizer.mask_token}{sentence[end:]}"
        ids[position] = tokenizer.mask_token_id
        return Prompt(ids, position, shown, sentence[begin:end])

    return first_of_parts(sentences, count, prompt)


def is_shown(tokens: int, max_length: int) -> bool:
    """Whether a sentence of so many tokens is neither too short to say something nor too long to be read."""
    return 12 <= tokens <= min(40, max_length)


def first_of_parts(sentences: Sequence[str], count: int, make: Callable[[str], T | None]) -> list[T]:
    """Of each of `count` equal parts what `make` gives for the first sentence of which it gives something."""
    found: list[T] = []
    for part in range(count):
        start, stop = (len(sentences) * edge // count for edge in (part, part + 1))
        made = (make(sentences[index]) for index in range(start, stop))
        found += islice((one for one in made if one is not None), 1)
    return found


def _whole_words(sentence: str, encoding: Encoding) -> list[tuple[int, int, int]]:
    """Words of two letters or more between blanks that are one token: its position, and their characters."""
    offsets, found = encoding.offsets, []
    for position in range(2, len(offsets) - 2):
        start, end = offsets[position]
        begin = end - len(sentence[start:end].lstrip())  # without the blank that some tokenizers count in
        word = sentence[begin:end]
        alone = offsets[position - 1][1] <= begin and end <= offsets[position + 1][0]  # no bytes of a letter
        between = sentence[begin - 1 : begin].isspace() and sentence[end : end + 1].isspace()
        if alone and between and len(word) >= 2 and word.isalpha():
            found.append((position, begin, end))
    return found


def fill(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: list[Prompt], top: int = 5
) -> list[list[tuple[str, float]]]:
    """For each prompt the `top` likeliest pieces and their probabilities."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    found = []
    for prompt in prompts:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt.ids], device=device)).logits[0, prompt.position]
        probabilities, ids = logits.float().softmax(-1).topk(top)
        pairs = zip(ids.tolist(), probabilities.tolist(), strict=True)
        found.append([(shown_piece(tokenizer, index), round(share, 4)) for index, share in pairs])
    model.train(was_training)
    return found


def shown_piece(tokenizer: PreTrainedTokenizerFast, index: int) -> str:
    """A piece as a reader sees it; one that continues the word before it is shown with `##`.

    Which it is, the tokenizer's decoder knows, whatever its mark of a word: of two such pieces the second one
    begins a word where a blank is put before it.
    """
    token: Any = tokenizer.convert_ids_to_tokens(index)
    if token is None:
        return "(none)"  # an id that no piece has
    if index in tokenizer.all_special_ids:
        return str(token)
    piece, twice = (
        str(tokenizer.decode([index] * times, clean_up_tokenization_spaces=False)).strip() for times in (1, 2)
    )
    if not piece:
        return "(space)"
    marked = piece.startswith(CONTINUED) and twice == piece + piece.removeprefix(CONTINUED)  # WordPiece
    return piece if marked or twice == f"{piece} {piece}" else f"{CONTINUED}{piece}"


def fills_record(prompts: list[Prompt], before: list, after: list) -> list[dict[str, Any]]:
    """Prompts with their fills before and after training, for `results.json`."""
    return [
        {"sentence": prompt.text, "answer": prompt.answer, "before": b, "after": a}
        for prompt, b, a in zip(prompts, before, after, strict=True)
    ]


def print_fills(record: list[dict[str, Any]]) -> str:
    """The same, as lines of text that fit the screen."""
    lines = []
    for number, one in enumerate(record, 1):
        lines.append(wrap(one["sentence"], "   ", f"{number}. "))
        lines.append(f"   masked word: {one['answer']}")
        for when in ("before", "after"):
            shown = "  ".join(f"{piece} {100 * share:.1f}%" for piece, share in one[when])
            lines.append(wrap(shown, " " * 11, f"   {when + ':':8}"))
    return "\n".join(lines)
