"""Which piece translates which: IBM model 1 with a prior for the diagonal, both directions, symmetrized.

After Dyer et al. 2013 (fast_align) and Koehn et al. 2003 (grow-diag-final-and), in NumPy. All sentence pairs
are one flat list of cells, a cell being a target position and one of the source positions it may come from.
"""

from collections.abc import Sequence

import numpy as np

MODEL_1_ROUNDS, DIAGONAL_ROUNDS = 5, 5  # of expectation maximization, without the prior and with it
TENSIONS = (0.0, 1.0, 2.0, 4.0, 8.0)  # of the diagonal; the likeliest is taken, 0 where order means nothing
NULL_SHARE = 0.08  # of target pieces that come from none, as in fast_align
MAX_PIECES = 100  # in a sentence; a longer pair is left out
MAX_CELLS = 20_000_000  # beyond it, evenly chosen pairs: memory is bounded

Links = list[tuple[int, int]]  # (source position, target position)
_NEIGHBORS = ((-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1))


def align_both(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> dict[int, Links]:
    """Links of each sentence pair that could be aligned, by its index.

    Args:
        pairs: ids of a sentence in the source's language and of its translation.
    """
    kept = usable(pairs)
    forward = align([pairs[index] for index in kept])
    backward = align([(pairs[index][1], pairs[index][0]) for index in kept])
    links = {}
    for index, there, back in zip(kept, forward, backward, strict=True):
        source, target = pairs[index]
        turned = [(one, other) for other, one in back]
        links[index] = symmetrize(set(there), set(turned), len(source), len(target))
    return links


def usable(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[int]:
    """Pairs that are aligned: not empty, not too long, evenly chosen where there are too many."""
    fit = [number for number, pair in enumerate(pairs) if all(0 < len(side) <= MAX_PIECES for side in pair)]
    cells = sum((len(pairs[number][0]) + 1) * (len(pairs[number][1]) + 1) for number in fit)
    return fit[:: -(-cells // MAX_CELLS) or 1]


def align_blocks(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Links]:
    """`align` of any number of pairs, as many at once as memory allows; each block learns by itself."""
    cells = sum((len(source) + 1) * len(target) for source, target in pairs)
    size = max(1, len(pairs) // max(1, -(-cells // MAX_CELLS)))
    blocks = (pairs[start : start + size] for start in range(0, len(pairs), size))
    return [links for block in blocks for links in align(block)]


def align(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Links]:
    """For each pair the likeliest source position of every target position that comes from one."""
    if not pairs:
        return []
    cells = _Cells(pairs)
    uniform = cells.prior(0.0)
    table = cells.start()
    for _ in range(MODEL_1_ROUNDS):
        table, _ = cells.round(table, uniform)
    tension = max(TENSIONS, key=lambda value: (cells.likelihood(table, cells.prior(value)), -value))
    prior = cells.prior(tension)
    for _ in range(DIAGONAL_ROUNDS):
        table, _ = cells.round(table, prior)
    return cells.links(table, prior)


class _Cells:
    """All cells, grouped by target position; the first of a group is the position of no source piece."""

    def __init__(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]):
        sources = [np.asarray(source, dtype=np.int64) for source, _ in pairs]
        targets = [np.asarray(target, dtype=np.int64) for _, target in pairs]
        none = 1 + max(int(source.max()) for source in sources)  # an id for "no source piece"
        width = 1 + max(int(target.max()) for target in targets)
        keys, distances = [], []
        for source, target in zip(sources, targets, strict=True):
            candidates = np.concatenate([[none], source])
            keys.append((candidates[None, :] * width + target[:, None]).ravel())
            rows = (np.arange(len(target)) + 0.5) / len(target)
            columns = (np.arange(len(source)) + 0.5) / len(source)
            distance = np.abs(rows[:, None] - columns[None, :]).astype(np.float32)
            distances.append(np.pad(distance, ((0, 0), (1, 0)), constant_values=-1).ravel())
        self.distance = np.concatenate(distances)  # -1 where the cell is that of no source piece
        kinds, self.kind = np.unique(np.concatenate(keys), return_inverse=True)
        self.kind = self.kind.astype(np.int32)
        self.source_of_kind = kinds // width
        self.lengths = np.concatenate(
            [np.full(len(target), len(source) + 1) for source, target in zip(sources, targets, strict=True)]
        )
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.targets = [len(target) for target in targets]

    def start(self) -> np.ndarray:
        """Equal probabilities, of every source piece and a target piece seen together."""
        return np.ones(self.source_of_kind.shape)

    def prior(self, tension: float) -> np.ndarray:
        """Probability of each cell before its pieces are known, (cells,)."""
        none = self.distance < 0
        values = np.where(none, 0.0, np.exp(-tension * np.maximum(self.distance, 0).astype(np.float64)))
        values /= np.repeat(np.add.reduceat(values, self.starts), self.lengths)
        return np.where(none, NULL_SHARE, (1 - NULL_SHARE) * values)

    def round(self, table: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One round of expectation maximization: the table p(target piece | source piece), posteriors."""
        scores = table[self.kind] * prior
        posterior = scores / np.repeat(np.add.reduceat(scores, self.starts), self.lengths)
        counts = np.bincount(self.kind, weights=posterior, minlength=len(table))
        totals = np.bincount(self.source_of_kind, weights=counts)
        return counts / totals[self.source_of_kind], posterior

    def likelihood(self, table: np.ndarray, prior: np.ndarray) -> float:
        """Log likelihood of the target sentences."""
        return float(np.log(np.add.reduceat(table[self.kind] * prior, self.starts)).sum())

    def links(self, table: np.ndarray, prior: np.ndarray) -> list[Links]:
        """The best cell of each target position, as links of each pair."""
        scores = table[self.kind] * prior
        best = np.maximum.reduceat(scores, self.starts)
        group = np.repeat(np.arange(len(self.starts)), self.lengths)
        hits = np.flatnonzero(scores == best[group])
        groups, first = np.unique(group[hits], return_index=True)
        column = hits[first] - self.starts[groups] - 1  # -1: no source piece
        found, place = [], 0
        for count in self.targets:
            columns = column[place : place + count].tolist()
            found.append([(source, target) for target, source in enumerate(columns) if source >= 0])
            place += count
        return found


def symmetrize(
    forward: set[tuple[int, int]], backward: set[tuple[int, int]], rows: int, columns: int
) -> Links:
    """Grow-diag-final-and of links (source, target): what both say, then neighbors that one says."""
    union, links = forward | backward, forward & backward
    sources, targets = ({link[side] for link in links} for side in (0, 1))
    waiting = sorted(links)
    while waiting:
        row, column = waiting.pop(0)
        for down, right in _NEIGHBORS:
            near = (row + down, column + right)
            if near in union and near not in links and (near[0] not in sources or near[1] not in targets):
                links.add(near)
                sources.add(near[0])
                targets.add(near[1])
                waiting.append(near)
    for side in (forward, backward):
        for row, column in sorted(side - links):
            if row not in sources and column not in targets:
                links.add((row, column))
                sources.add(row)
                targets.add(column)
    return sorted(links)
