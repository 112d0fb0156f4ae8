"""Scores of one task as they come: a line a batch, on the disk before the next one is computed.

Batches are the same whenever the same command is given, so that a run that was killed goes on to bit-equal
scores. A line that a kill has cut is computed again.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from xpt.program.errors import XPTError


class ScoreStore:
    """The file of one task's scores; `batches` has the scores of each batch by its number.

    Args:
        path: the file, which need not exist.
        sizes: how many scores each batch has.

    Raises:
        XPTError: the file holds something else.
    """

    def __init__(self, path: Path, sizes: Sequence[int]) -> None:
        self.path, self.sizes = path, sizes
        self.batches: dict[int, list[float]] = {}
        if path.exists():
            self._read()

    @property
    def complete(self) -> bool:
        """Whether every batch is there."""
        return len(self.batches) == len(self.sizes)

    def add(self, number: int, scores: Sequence[float]) -> None:
        """Keep the scores of a batch."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"batch": number, "scores": list(scores)})
        with open(self.path, "a", encoding="ascii") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        self.batches[number] = list(scores)

    def by_row(self, batches: Sequence[Sequence[int]]) -> list[float]:
        """The score of each row, of which `batches` has the indices."""
        found = {
            index: score
            for number, batch in enumerate(batches)
            for index, score in zip(batch, self.batches[number], strict=True)
        }
        return [found[index] for index in range(len(found))]

    def _read(self) -> None:
        raw = self.path.read_bytes()
        whole = raw[: raw.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry = json.loads(line)
                batch, scores = entry["batch"], [float(score) for score in entry["scores"]]
                if len(scores) != self.sizes[batch] or batch < 0:
                    raise ValueError("other batches")
            except (ValueError, KeyError, IndexError, TypeError) as error:
                raise XPTError(
                    f"{self.path} line {number}: no scores of this evaluation; delete the file, and it is "
                    "made anew"
                ) from error
            self.batches[batch] = scores
        if len(whole) < len(raw):
            os.truncate(self.path, len(whole))
