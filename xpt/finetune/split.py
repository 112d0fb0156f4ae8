"""A split of a task's data, checked, and what a result must say of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Split:
    """The examples of one split, checked.

    Args:
        name: train, validation or test.
        examples: all of one type.
        origin: file name, or data set and split.
        revision: commit of the data set on the Hub; None for files.
        official: how many the official split has.
        sha256: of the content of `examples`, the same wherever they come from.
        warnings: what should be known about it.
    """

    name: str
    examples: list[Any]
    origin: str
    revision: str | None
    official: int
    sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> int:
        """Records that are used: sentences, questions, dialogues."""
        return count_records(self.examples)

    @property
    def is_whole(self) -> bool:
        """Whether it has as many records as the official split."""
        return self.used == self.official

    def describe(self) -> dict[str, Any]:
        """For records."""
        return {
            "origin": self.origin,
            "revision": self.revision,
            "examples": len(self.examples),
            "records": self.used,
            "official_records": self.official,
            "whole": self.is_whole,
            "sha256": self.sha256,
            "warnings": list(self.warnings),
        }


def count_records(examples: Sequence[Any]) -> int:
    """Records that examples are of: a dialogue counts once, however many turns are scored."""
    return len({example.guid for example in examples})
