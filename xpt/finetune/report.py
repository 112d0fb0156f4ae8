"""`report.html`: what a fine-tuned model gets wrong, to be looked at. One file that needs no network.

judgments of all examples -> how often each label is taken for which, score by length, the most confident
mistakes with their texts
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from xpt.finetune.judgment import Judgment
from xpt.finetune.scored import beside, scored_data

TEMPLATE = Path(__file__).with_name("report.html")
MISTAKES = 20
MOST_LABELS = 40  # of a confusion matrix that fits a screen
LENGTH_BINS = 6


@dataclass(frozen=True)
class Confusion:
    """How often what is gold (rows) was answered as what (columns).

    Args:
        labels: of rows and columns, the most frequent gold ones first.
        counts: (labels, labels).
        left_out: parts with one of the rarer labels.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    left_out: int

    def share(self, row: int, column: int) -> float:
        """Of what is gold in a row."""
        return self.counts[row][column] / max(1, sum(self.counts[row]))


@dataclass(frozen=True)
class LengthBin:
    """Examples of `shortest` to `longest` characters, and how much of them is right, from 0 to 1."""

    shortest: int
    longest: int
    count: int
    right: float


@dataclass(frozen=True)
class Mistake:
    """An example that is not right, how it is called and how sure the model was, from 0 to 1."""

    name: str
    confidence: float
    judgment: Judgment


def render_report(
    results: dict[str, Any],
    names: Sequence[str],
    judgments: Sequence[Judgment],
    confidences: Sequence[float],
) -> str:
    """The page.

    Args:
        results: of the run, for its heading and scores.
        names: of each example, what a prediction names it by.
        judgments: of each example.
        confidences: of each example, from 0 to 1.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        results=results,
        scored=scored_data(results),
        beside=beside,
        count=len(judgments),
        wrong=sum(judgment.right < 1 for judgment in judgments),
        confusion=confusion(judgments),
        bins=by_length(judgments),
        mistakes=worst(names, judgments, confidences),
    )


def confusion(judgments: Sequence[Judgment]) -> Confusion | None:
    """The matrix over all parts with labels; None where no task's answers have any."""
    pairs = Counter(pair for judgment in judgments for pair in judgment.pairs)
    if not pairs:
        return None
    gold, answered = Counter(), Counter()  # type: Counter[str], Counter[str]
    for (one, other), count in pairs.items():
        gold[one] += count
        answered[other] += count
    labels = sorted(gold | answered, key=lambda label: (-gold[label], -answered[label], label))[:MOST_LABELS]
    counts = tuple(tuple(pairs[one, other] for other in labels) for one in labels)
    return Confusion(tuple(labels), counts, pairs.total() - sum(map(sum, counts)))


def by_length(judgments: Sequence[Judgment]) -> list[LengthBin]:
    """Examples in order of their length, in up to `LENGTH_BINS` groups of about the same size."""
    ordered = sorted(judgments, key=lambda judgment: judgment.length)
    size = -(-len(ordered) // LENGTH_BINS)
    groups = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    return [
        LengthBin(group[0].length, group[-1].length, len(group), sum(one.right for one in group) / len(group))
        for group in groups
    ]


def worst(names: Sequence[str], judgments: Sequence[Judgment], confidences: Sequence[float]) -> list[Mistake]:
    """The `MISTAKES` that the model was most sure of, surest first."""
    wrong = [
        Mistake(name, confidence, judgment)
        for name, judgment, confidence in zip(names, judgments, confidences, strict=True)
        if judgment.right < 1
    ]
    return sorted(wrong, key=lambda mistake: -mistake.confidence)[:MISTAKES]
