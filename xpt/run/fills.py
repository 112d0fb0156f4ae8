"""What a model fills in for masked words of held-out sentences: the reader's own test."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from xpt.program.formatting import wrap

WORD_MARK = "▁"


@dataclass(frozen=True)
class Prompt:
    """A held-out sentence with one whole word masked; that word is one piece, so that it can be filled."""

    ids: list[int]
    position: int
    text: str
    answer: str


def choose_prompts(
    sentences: Iterable[str], tokenizer: PreTrainedTokenizerFast, count: int, max_length: int
) -> list[Prompt]:
    """The first `count` sentences of 12 to 40 pieces with such a word; the middlemost one is masked."""
    prompts: list[Prompt] = []
    for sentence in sentences:
        if len(prompts) == count:
            break
        ids = tokenizer(sentence)["input_ids"]
        if not 12 <= len(ids) <= min(40, max_length):
            continue
        pieces = tokenizer.convert_ids_to_tokens(ids)
        words = [i for i in range(2, len(ids) - 2) if _is_whole_word(pieces[i], pieces[i + 1])]
        if not words:
            continue
        position = min(words, key=lambda i: abs(i - len(ids) // 2))
        shown = [*pieces[1:position], WORD_MARK + tokenizer.mask_token, *pieces[position + 1 : -1]]
        masked = [*ids[:position], tokenizer.mask_token_id, *ids[position + 1 :]]
        prompts.append(Prompt(masked, position, _text(shown), _text([pieces[position]])))
    return prompts


def _is_whole_word(piece: str, following: str) -> bool:
    word = piece.removeprefix(WORD_MARK)
    return (
        piece.startswith(WORD_MARK) and len(word) >= 2 and word.isalpha() and following.startswith(WORD_MARK)
    )


def _text(pieces: list[str]) -> str:
    return "".join(pieces).replace(WORD_MARK, " ").strip()


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
        pieces = tokenizer.convert_ids_to_tokens(ids.tolist())
        found.append([(_shown(p), round(q, 4)) for p, q in zip(pieces, probabilities.tolist(), strict=True)])
    model.train(was_training)
    return found


def _shown(piece: str) -> str:
    """A piece as a reader sees it; one that continues the word before it is shown with `##`."""
    if piece == WORD_MARK:
        return "(space)"
    return piece.removeprefix(WORD_MARK) if piece.startswith(WORD_MARK) else f"##{piece}"


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
