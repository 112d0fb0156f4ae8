"""Links of words become links of their pieces."""

import numpy as np

from xpt.transplant.embeddings.aligner import Links


def piece_links(links: Links, source_starts: np.ndarray, target_starts: np.ndarray) -> Links:
    """The pieces of linked words, side by side: the first with the first, the last with the last.

    Args:
        links: of words, counted from 0.
        source_starts, target_starts: whether each piece of a sentence starts a word, (pieces,) booleans.

    Returns:
        A link for each piece of a linked target word; none where the pieces have fewer words than the links.
    """
    source, target = _spans(source_starts), _spans(target_starts)
    found: Links = []
    for there, here in links:
        if there < len(source) and here < len(target):
            begin, many = source[there]
            first, count = target[here]
            found += [(begin + number * many // count, first + number) for number in range(count)]
    return found


def _spans(starts: np.ndarray) -> list[tuple[int, int]]:
    """First piece and number of pieces of each word; the first piece starts one, whatever its mark."""
    begins = np.flatnonzero(starts | (np.arange(len(starts)) == 0)).tolist()
    return [(begin, end - begin) for begin, end in zip(begins, [*begins[1:], len(starts)], strict=True)]
