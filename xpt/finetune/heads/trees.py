"""Dependency trees: whether heads make one, and the best one that scores allow.

What passes through: heads, where word i (from 0) hangs on word `heads[i]` (from 1) or on the root (0); or the
scores of all of them.
"""

from collections.abc import Sequence

import networkx
import numpy as np


def cycle(heads: Sequence[int]) -> int | None:
    """The first word (from 0) from which no way leads to the root; None where `heads` are a tree."""
    rooted = {0}
    for word in range(1, len(heads) + 1):
        way: dict[int, None] = {}
        while word not in rooted:
            if word in way:
                return word - 1
            way[word] = None
            word = heads[word - 1]
        rooted.update(way)
    return None


def best_tree(scores: np.ndarray) -> list[int]:
    """The heads of the tree of the largest sum in which one word hangs on the root.

    Args:
        scores: (words, words + 1), finite: row i for word i + 1, a column a head, the root first.
    """
    best = [int(head) for head in scores.argmax(axis=1)]
    if best.count(0) == 1 and cycle(best) is None:
        return best  # most sentences of a trained parser; the search costs milliseconds
    scores = scores.astype(np.float64)
    scores[:, 0] -= len(scores) * (np.ptp(scores) + 1)  # more than a second root can ever gain
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(len(scores) + 1))
    for (word, head), score in np.ndenumerate(scores):
        if head != word + 1:
            graph.add_edge(head, word + 1, weight=score)
    tree = networkx.maximum_spanning_arborescence(graph)
    return [next(tree.predecessors(word + 1)) for word in range(len(scores))]
