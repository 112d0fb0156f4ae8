"""How a causal model goes on with the beginning of held-out sentences: the reader's own test of a decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from xpt.program.formatting import wrap
from xpt.run.fills import first_of_parts, is_shown
from xpt.text.special_tokens import text_reader

NEW_TOKENS = 24


@dataclass(frozen=True)
class Beginning:
    """The first half of a held-out sentence, its ids behind the token that opens a text; and the rest."""

    ids: list[int]
    text: str
    rest: str


def choose_beginnings(
    sentences: Sequence[str], tokenizer: PreTrainedTokenizerFast, count: int, max_length: int
) -> list[Beginning]:
    """Sentences of 12 to 40 tokens, cut between two words; each of `count` equal parts gives its first.

    Args:
        sentences: in the order of their documents.
        tokenizer: as `load_tokenizer` gives it for a causal model.
        count: of parts.
        max_length: tokens of a sentence, special ones included.
    """
    reader = text_reader(tokenizer)

    def beginning(sentence: str) -> Beginning | None:
        words = sentence.split()
        if len(words) < 4 or not is_shown(len(reader.encode(sentence)), max_length):
            return None
        half = len(words) // 2
        text = " ".join(words[:half])
        return Beginning(reader.encode(text).ids, text, " ".join(words[half:]))

    return first_of_parts(sentences, count, beginning)


def go_on(model: Any, tokenizer: PreTrainedTokenizerFast, beginnings: Sequence[Beginning]) -> list[str]:
    """What the model says next of each, by its likeliest token each time, up to the end of the text."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    told = []
    for beginning in beginnings:
        ids = torch.tensor([beginning.ids], device=device)
        with torch.no_grad():
            whole = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=NEW_TOKENS,
                do_sample=False,
                use_cache=True,
            )
        told.append(str(tokenizer.decode(whole[0, len(beginning.ids) :], skip_special_tokens=True)).strip())
    model.train(was_training)
    return told


def continuations_record(
    beginnings: Sequence[Beginning], before: Sequence[str], after: Sequence[str]
) -> list[dict[str, str]]:
    """Beginnings with what was said before and after training, for `results.json`."""
    return [
        {"text": one.text, "rest": one.rest, "before": b, "after": a}
        for one, b, a in zip(beginnings, before, after, strict=True)
    ]


def print_continuations(record: Sequence[dict[str, str]]) -> str:
    """The same, as lines of text that fit the screen."""
    lines = []
    for number, one in enumerate(record, 1):
        lines.append(wrap(one["text"], "   ", f"{number}. "))
        for said, key in (("text goes on", "rest"), ("before", "before"), ("after", "after")):
            lines.append(wrap(one[key], " " * 17, f"   {said + ':':14}"))
    return "\n".join(lines)
