"""What a phase reads: rows of one stream, or of several by turns; a pure function of seed and row.

A stream is text of one language, whose tokens are masked, or sentence pairs in one direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch.utils.data import Dataset

from xpt.text.packing import TARGET, Row, RowSource

SOURCE = "source"  # text of the source's language
TO_TARGET, TO_SOURCE = "to_target", "to_source"  # pairs, by the language that is predicted
PAIRS = (TO_TARGET, TO_SOURCE)


@dataclass(frozen=True)
class Reading:
    """Row k is the next one of the stream whose turn it is.

    Args:
        turns: names of streams, again and again in this order.
        streams: by name.
        first: of each stream the row to begin with; 0 where it is not said.
    """

    turns: tuple[str, ...]
    streams: Mapping[str, RowSource]
    first: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: RowSource, first_row: int = 0) -> "Reading":
        """Of one stream alone."""
        return cls((TARGET,), {TARGET: stream}, {TARGET: first_row})

    def __getitem__(self, index: int) -> Row:
        kind = self.turns[index % len(self.turns)]
        return replace(self.streams[kind][self.place(kind, index)], kind=kind)

    def place(self, kind: str, rows: int) -> int:
        """Where a stream stands when so many rows are read."""
        rounds, rest = divmod(rows, len(self.turns))
        return self.first.get(kind, 0) + rounds * self.turns.count(kind) + self.turns[:rest].count(kind)

    def tokens(self, start: int, stop: int) -> int:
        """Real tokens, `<s>` and `</s>` included and padding not, in rows start..stop-1.

        Of a pair those of its longer side count, the source's with its slot of padding.
        """
        kinds = set(self.turns)
        return sum(
            self.streams[kind].tokens(self.place(kind, start), self.place(kind, stop)) for kind in kinds
        )

    def epochs(self, rows: int) -> dict[str, float]:
        """How often so many rows read each stream, about: each epoch is packed anew."""
        return {
            kind: (self.place(kind, rows) - self.place(kind, 0)) / self.streams[kind].rows_in_epoch
            for kind in dict.fromkeys(self.turns)
        }


def readings(
    phases: Sequence[tuple[tuple[str, ...], int]], streams: Mapping[str, RowSource]
) -> list[Reading]:
    """Of phases, each its turns and its number of rows: streams go on where the phase before has stopped."""
    found: list[Reading] = []
    first: dict[str, int] = {}
    for turns, rows in phases:
        found.append(Reading(turns, streams, dict(first)))
        first |= {kind: found[-1].place(kind, rows) for kind in turns}
    return found


class PhaseRows(Dataset):
    """The rows of one phase, in order: `steps * rows_per_step` of them."""

    def __init__(self, reading: Reading, steps: int, rows_per_step: int):
        self.reading, self.steps, self.rows_per_step = reading, steps, rows_per_step

    def __len__(self) -> int:
        return self.steps * self.rows_per_step

    def __getitem__(self, index: int) -> Row:
        return replace(self.reading[index], step=index // self.rows_per_step)
