"""One answer beside the gold one, as a person looks at it: texts with marked parts, what was right, how sure.

Tasks say what there is to see (`Task.judge`); `xpt.finetune.report` lays it out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """Characters `start` to `end` (exclusive) of a text, and what they are said to be."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Passage:
    """A text to read; `caption` says what it is, `marks` do not overlap and stand in order."""

    caption: str
    text: str
    marks: tuple[Mark, ...] = ()

    def pieces(self) -> Iterator[tuple[str, str]]:
        """The text in parts, each with the label of its mark, "" between them."""
        at = 0
        for mark in self.marks:
            if at < mark.start:
                yield self.text[at : mark.start], ""
            yield self.text[mark.start : mark.end], mark.label
            at = mark.end
        if at < len(self.text):
            yield self.text[at:], ""


@dataclass(frozen=True)
class Judgment:
    """What one example's answer looks like.

    Args:
        passages: what was read, with what was marked in it.
        gold: the right answer in words; "" where the passages show it.
        answer: the given one.
        right: how much of it is, from 0 to 1.
        pairs: gold and given label of each part that has one, for a confusion matrix.
    """

    passages: tuple[Passage, ...]
    gold: str
    answer: str
    right: float
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def length(self) -> int:
        """Characters of all different texts."""
        return sum(len(text) for text in {passage.text for passage in self.passages})


def tagged(tags: Sequence[str]) -> tuple[Mark, ...]:
    """The parts that IOB2 tags mark: B begins one, what follows without a B of its own goes on with it."""
    marks: list[Mark] = []
    for at, tag in enumerate(tags):
        kind, _, label = tag.partition("-")
        if kind == "I" and marks and marks[-1].end == at and marks[-1].label == label:
            marks[-1] = Mark(marks[-1].start, at + 1, label)
        elif label:
            marks.append(Mark(at, at + 1, label))
    return tuple(marks)


def around(text: str, marks: Iterable[Mark], reach: int = 120) -> tuple[str, tuple[Mark, ...]]:
    """What stands within `reach` characters of the marks, and they in it; an ellipsis for what was cut."""
    marks = tuple(marks)
    begin = max(0, min((mark.start for mark in marks), default=0) - reach)
    end = min(len(text), max((mark.end for mark in marks), default=0) + reach)
    before, after = "…" * bool(begin), "…" * (end < len(text))
    moved = len(before) - begin
    kept = tuple(Mark(mark.start + moved, mark.end + moved, mark.label) for mark in marks)
    return f"{before}{text[begin:end]}{after}", kept


def differing(gold: Sequence[str], answer: Sequence[str]) -> tuple[str, str]:
    """What only the gold list holds, and what only the given one does, each as a text."""
    missing = ", ".join(entry for entry in gold if entry not in answer)
    extra = ", ".join(entry for entry in answer if entry not in gold)
    return missing, extra
