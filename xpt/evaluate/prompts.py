"""What a model reads of an item: the text before the answer, and each answer as it goes on.

Two families of prompts are in use for KoBEST, and scores of one say nothing beside scores of the other.
`harness` are those of lm-evaluation-harness (release 0.4.13, unchanged since its polyglot branch of 2022,
whose figures they repeat: pull request 1263). `ko_harness` are those of the fork that later Korean models
are compared by (Beomi/ko-lm-evaluation-harness, commit 9e35b09).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xpt.evaluate.items import premise_of

BETWEEN = "\n\n"  # after each example that is shown
NO_YES = ("아니오", "예")
SENTIMENTS = ("부정", "긍정")


@dataclass(frozen=True)
class Question:
    """An item as it is asked.

    Args:
        text: before the answer.
        answers: one for each label of the task, in its order.
        joint: what stands between them where an answer is scored.
        shown_joint: the same where the right answer is shown as an example.
    """

    text: str
    answers: tuple[str, ...]
    joint: str = " "
    shown_joint: str = " "

    def shown(self, answer: int) -> str:
        """With its answer, as an example for another item."""
        return f"{self.text}{self.shown_joint}{self.answers[answer]}{BETWEEN}"


Asker = Callable[[Any], Question]  # takes an example of the task


# Blanks are as they are there: two where a text ends in one, none where an answer follows at once.
HARNESS: dict[str, Asker] = {
    "boolq": lambda one: Question(f"{one.first} 질문: {one.second} 답변: ", NO_YES),
    "copa": lambda one: Question("  ".join(premise_of(one)), one.choices),
    "hellaswag": lambda one: Question(f"문장: {one.context}", one.choices),
    "sentineg": lambda one: Question(f"문장: {one.first} 긍부정:", SENTIMENTS),
    "wic": lambda one: Question(
        f"문장1: {one.first} 문장2: {one.second} 두 문장에서 {one.word}가 같은 뜻으로 쓰였나?", NO_YES
    ),
}
KO_HARNESS: dict[str, Asker] = {
    "boolq": lambda one: Question(
        f"내용: {one.first}\n질문: 다음 문장이 내용에 있는 사실과 일치하는가?\n문장: {one.second}\n응답: ",
        NO_YES,
    ),
    "copa": lambda one: Question(one.context, one.choices, joint=""),
    "hellaswag": lambda one: Question(one.context, one.choices),
    "sentineg": lambda one: Question(one.first, tuple(f"({word})" for word in SENTIMENTS)),
    "wic": lambda one: Question(
        f"문장1: {one.first}\n문장2: {one.second}\n"
        f"질문: 문장1과 문장2에서 쓰인 단어 [{one.word}]가 같은 뜻으로 쓰였나?\n응답: ",
        NO_YES,
        joint="",
        shown_joint="",
    ),
}
FAMILIES = {"harness": HARNESS, "ko_harness": KO_HARNESS}
SOURCES = {
    "harness": "lm-evaluation-harness 0.4.13",
    "ko_harness": "Beomi/ko-lm-evaluation-harness, commit 9e35b09",
}


@dataclass(frozen=True)
class Choices:
    """One item to be scored: what is read first, and what may follow, joints included.

    `lengths` are characters of the answers alone, by which scores are normalized.
    """

    guid: str
    context: str
    continuations: tuple[str, ...]
    lengths: tuple[int, ...]


def ask(
    asker: Asker, labels: Sequence[str], examples: Sequence[Any], shots: Sequence[Sequence[Any]]
) -> list[Choices]:
    """Each example with its shots before it."""
    asked = []
    for example, before in zip(examples, shots, strict=True):
        question = asker(example)
        shown = "".join(asker(one).shown(labels.index(one.label)) for one in before)
        asked.append(
            Choices(
                example.guid,
                shown + question.text,
                tuple(question.joint + answer for answer in question.answers),
                tuple(map(len, question.answers)),
            )
        )
    return asked
