"""Predictions and references, checked before anything is counted; what is wrong is told in one line."""

import math
import numbers
import reprlib
from collections.abc import Callable, Iterable
from typing import Any

from .labels import DEPRELS, NER_TAGS, NLI_LABELS, RELATIONS, YNAT_LABELS

Row = dict[str, Any]
Reader = Callable[[Any], Any]


def checked(task: str, predictions: Iterable[Row], references: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Plain copies of both lists with the keys of the task only.

    Raises ValueError, one line, for empty input, lists of different lengths, and whatever a row has wrong.
    """
    predicted = _rows("predictions", predictions, _PREDICTION[task])
    gold = _rows("references", references, _REFERENCE[task])
    if len(predicted) != len(gold):
        missing = "predictions" if len(predicted) < len(gold) else "references"
        at = min(len(predicted), len(gold))
        raise ValueError(f"{len(predicted)} predictions, {len(gold)} references: {missing}[{at}] is missing")
    if not gold:
        raise ValueError("predictions[0] is missing: there is nothing to score")
    for at, (prediction, reference) in enumerate(zip(predicted, gold, strict=True)):
        _check_lengths(task, at, prediction, reference)
    return predicted, gold


def _rows(side: str, rows: Iterable[Row], readers: dict[str, Reader]) -> list[Row]:
    if isinstance(rows, str | dict) or not isinstance(rows, Iterable):
        raise ValueError(f"{side} is no list of dicts but {reprlib.repr(rows)}")
    return [_row(f"{side}[{at}]", row, readers) for at, row in enumerate(rows)]


def _row(place: str, row: Row, readers: dict[str, Reader]) -> Row:
    if not isinstance(row, dict):
        raise ValueError(f"{place} is no dict with {', '.join(readers)} but {reprlib.repr(row)}")
    read = {}
    for key, reader in readers.items():
        if key not in row:
            raise ValueError(f'{place} has no "{key}"')
        try:
            read[key] = reader(row[key])
        except ValueError as error:
            raise ValueError(f'{place}["{key}"]: {error}') from None
    return read


def _check_lengths(task: str, at: int, prediction: Row, reference: Row) -> None:
    """NER: a tag a character row. DP: a head and a label a word. Whatever counts otherwise is named."""
    counted = {"ner": ("characters", "tags"), "dp": ("heads", "deprels")}.get(task, ())
    if not counted:
        return
    wanted = len(reference[counted[0]])
    if not wanted:
        raise ValueError(f'references[{at}]["{counted[0]}"] is empty')
    for side, row in (("references", reference), ("predictions", prediction)):
        for key in counted:
            if key in row and len(row[key]) != wanted:
                problem = f"{len(row[key])} values, but the reference has {wanted} {counted[0]}"
                raise ValueError(f'{side}[{at}]["{key}"]: {problem}')


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{reprlib.repr(value)} is no text")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{reprlib.repr(value)} is no finite number")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{reprlib.repr(value)} is no whole number")
    return int(value)


def _one_of(inventory: tuple[str, ...]) -> Reader:
    known = frozenset(inventory)

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"{reprlib.repr(value)} is none of {', '.join(inventory)}")
        return value

    return read


def _list_of(reader: Reader, length: int | None = None) -> Reader:
    def read(values: Any) -> list[Any]:
        if isinstance(values, str | dict) or not isinstance(values, Iterable):
            raise ValueError(f"{reprlib.repr(values)} is no list")
        read_values = []
        for at, value in enumerate(values):
            try:
                read_values.append(reader(value))
            except ValueError as error:
                raise ValueError(f"value {at}: {error}") from None
        if length is not None and len(read_values) != length:
            raise ValueError(f"{len(read_values)} values, not {length}")
        return read_values

    return read


_TREE = {"heads": _list_of(_whole), "deprels": _list_of(_one_of(DEPRELS))}

_PREDICTION: dict[str, dict[str, Reader]] = {
    "ynat": {"label": _one_of(YNAT_LABELS)},
    "sts": {"score": _number},
    "nli": {"label": _one_of(NLI_LABELS)},
    "ner": {"tags": _list_of(_one_of(NER_TAGS))},
    "re": {"label": _one_of(RELATIONS), "probs": _list_of(_number, len(RELATIONS))},
    "dp": _TREE,
    "mrc": {"text": _text},
    "wos": {"state": _list_of(_text)},
}

_REFERENCE: dict[str, dict[str, Reader]] = {
    "ynat": {"label": _one_of(YNAT_LABELS)},
    "sts": {"score": _number},
    "nli": {"label": _one_of(NLI_LABELS)},
    "ner": {"characters": _list_of(_text), "tags": _list_of(_one_of(NER_TAGS))},
    "re": {"label": _one_of(RELATIONS)},
    "dp": _TREE,
    "mrc": {"answers": _list_of(_text)},
    "wos": {"state": _list_of(_text)},
}
