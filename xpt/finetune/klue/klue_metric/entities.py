"""NER: a tag a character row; spans are exact (strict IOB2) and spaces are taken out before scoring."""

import math
from typing import Any

from sklearn.metrics import f1_score

from .labels import NER_TAGS

Row = dict[str, Any]
Span = tuple[str, int, int]


def ner_scores(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """The baseline's two scores: no rows of spaces, an O before and after each sentence, all one long list.

    In place of these O the baseline has what it predicts at [CLS] and at the last padded position.
    """
    gold, predicted = (_joined(rows, references) for rows in (references, predictions))
    return {
        "ner/entity_macro_f1": _macro_f1(spans(gold), spans(predicted)),
        "ner/char_macro_f1": f1_score(gold, predicted, labels=NER_TAGS, average="macro", zero_division=1.0),
    }


def ner_variants(predictions: list[Row], references: list[Row]) -> dict[str, float]:
    """Spans with their spaces, spans pooled over types, and the paper's character score."""
    gold, predicted = (_joined(rows, references) for rows in (references, predictions))
    with_spaces = [
        # An O between sentences keeps their spans apart and changes none of them.
        spans([tag for row in rows for tag in (*row["tags"], "O")])
        for rows in (references, predictions)
    ]
    seen = sorted({*gold, *predicted} - {"O"})
    return {
        "ner/entity_macro_f1_with_spaces": _macro_f1(*with_spaces),
        "ner/entity_micro_f1": _span_f1(spans(gold), spans(predicted)),
        "ner/char_macro_f1_without_o": (
            f1_score(gold, predicted, labels=seen, average="macro", zero_division=0.0) if seen else math.nan
        ),
    }


def spans(tags: list[str]) -> set[Span]:
    """(type, first, after last) of each entity: B-X and the I-X right behind it; an I-X elsewhere is of none.

    What seqeval calls IOB2 in strict mode.
    """
    found: set[Span] = set()
    kind, first = None, 0
    for at, tag in enumerate((*tags, "O")):
        if kind is not None and tag != f"I-{kind}":
            found.add((kind, first, at))
            kind = None
        if tag.startswith("B-"):
            kind, first = tag[2:], at
    return found


def _joined(rows: list[Row], references: list[Row]) -> list[str]:
    joined = []
    for row, reference in zip(rows, references, strict=True):
        pairs = zip(row["tags"], reference["characters"], strict=True)
        joined += ["O", *(tag for tag, character in pairs if character != " "), "O"]
    return joined


def _macro_f1(gold: set[Span], predicted: set[Span]) -> float:
    kinds = {kind for kind, _, _ in gold | predicted}
    if not kinds:
        return math.nan
    by_kind = [
        [{span for span in side if span[0] == kind} for side in (gold, predicted)] for kind in sorted(kinds)
    ]
    return sum(_span_f1(*sides) for sides in by_kind) / len(kinds)


def _span_f1(gold: set[Span], predicted: set[Span]) -> float:
    """NaN when neither side has a span."""
    total = len(gold) + len(predicted)
    return 2 * len(gold & predicted) / total if total else math.nan
