"""Items become rows of tokens, each with the places where a model's probabilities are read.

A decoder has one row for each answer, read at all of the answer's tokens. A masked model has one for each
token of each answer, with that token masked: the sum is the answer's pseudo-log-likelihood (Salazar et al.
2020), given the text before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xpt.evaluate.prompts import Choices
from xpt.finetune.backbone import Backbone, Kind
from xpt.finetune.encoding import TextEncoder
from xpt.program.errors import XPTError

DEFAULT_LENGTH = 2048  # tokens of a row, where the model sets no limit; as in lm-evaluation-harness
NEEDS_TEXT_BEFORE = 1  # the first token of a row has nothing to be predicted from


@dataclass(frozen=True)
class Row:
    """One sequence.

    Args:
        ids: what the model reads.
        places: positions whose output is read, rising.
        targets: the token that is looked up at each.
        choice: which answer it belongs to, counted over all answers of all items.
    """

    ids: list[int]
    places: list[int]
    targets: list[int]
    choice: int


@dataclass(frozen=True)
class Rows:
    """All rows of a task, and how many items have lost the beginning of their text to the model's limit."""

    rows: list[Row]
    cut: int


def check_kind(backbone: Backbone, shots: Sequence[int], tasks: Sequence[str], masked: Sequence[str]) -> None:
    """Raise `XPTError` where a model of this kind cannot be asked so.

    Args:
        masked: tasks that a masked model can be scored on.
    """
    if backbone.kind is Kind.ENCODER_DECODER:
        raise XPTError(
            f"{backbone.name}: a {backbone.config.model_type} reads before it writes, and there is no "
            "rule for scoring it untrained; take a decoder or a masked model, or fine-tune it (xpt finetune)"
        )
    if backbone.kind is Kind.DECODER:
        return
    other = [name for name in tasks if name not in masked]
    if other:
        raise XPTError(
            f"{backbone.name}: a masked model is scored on {' and '.join(masked)}, whose answers are "
            f"sentences; leave out {', '.join(other)}, or fine-tune it (xpt finetune)"
        )
    if any(shots):
        raise XPTError(f"{backbone.name}: a masked model is shown no examples; give --num_fewshot 0")
    if backbone.tokenizer.mask_token_id is None:
        raise XPTError(f"{backbone.name}: its tokenizer has no mask token; name it in tokenizer_config.json")


def encoder_of(backbone: Backbone, max_length: int | None) -> TextEncoder:
    """The tokenizer with the longest row that the model can read, or `max_length` where that is less."""
    limit = backbone.max_positions or DEFAULT_LENGTH
    return backbone.encoder_for(min(max_length or limit, limit))


def make_rows(items: Sequence[Choices], encoder: TextEncoder, kind: Kind) -> Rows:
    """The rows of all items, in order. Raises `XPTError` where an answer does not fit into a row."""
    make = _decoder_rows if kind is Kind.DECODER else _masked_rows
    rows: list[Row] = []
    cut, choice = 0, 0
    for item in items:
        lost = False
        for continuation in item.continuations:
            try:
                found, dropped = make(item.context, continuation, encoder, choice)
            except ValueError as error:
                raise XPTError(
                    f"{item.guid}: {error}; give a larger --max_length, or another model"
                ) from error
            rows += found
            lost = lost or dropped
            choice += 1
        cut += lost
    return Rows(rows, cut)


def _decoder_rows(
    context: str, continuation: str, encoder: TextEncoder, choice: int
) -> tuple[list[Row], bool]:
    """One row, without its last token, which nothing is predicted from; blanks count with what follows."""
    begun = context.rstrip()
    whole, head = _ids(encoder, [context + continuation, begun])
    before = encoder.single.before
    ids, start = [*before, *whole], len(before) + min(len(head), len(whole) - 1)
    surplus = max(0, len(ids) - (encoder.max_length + NEEDS_TEXT_BEFORE))
    ids, start = ids[surplus:], start - surplus
    if start < NEEDS_TEXT_BEFORE:
        raise ValueError(f"an answer has more than the {encoder.max_length} tokens of a row")
    row = Row(ids[:-1], list(range(start - 1, len(ids) - 1)), ids[start:], choice)
    return [row], surplus > 0


def _masked_rows(
    context: str, continuation: str, encoder: TextEncoder, choice: int
) -> tuple[list[Row], bool]:
    """A row for each token of the answer."""
    (pieces,) = encoder.pieces([context + continuation])
    scored = [index for index, end in enumerate(pieces.ends) if end > len(context)]
    surplus = max(0, len(pieces) - encoder.capacity)
    if not scored or scored[0] < surplus:
        raise ValueError(f"an answer has no tokens, or more than the {encoder.capacity} of a row")
    frame, mask = encoder.single, encoder.tokenizer.mask_token_id
    ids = [*frame.before, *pieces.ids[surplus:], *frame.after]
    rows = []
    for index in scored:
        place = encoder.offset + index - surplus
        rows.append(Row([*ids[:place], mask, *ids[place + 1 :]], [place], [ids[place]], choice))
    return rows, surplus > 0


def _ids(encoder: TextEncoder, texts: list[str]) -> Iterator[list[int]]:
    """Tokens without special ones; those spelled out in a text are text."""
    encoded: Any = encoder.reader.encode_batch(texts, add_special_tokens=False)
    return (list(one.ids) for one in encoded)
