"""What both scripts of this folder read: lines of a Korean text, and some of the sentence pairs."""

from itertools import islice

from xpt.transplant.embeddings import ParallelText
from xpt.transplant.embeddings.files import read_lines, read_parallel

SHORTEST = 30  # characters; shorter lines of the text are headings


def text_lines(path: str, count: int) -> list[str]:
    """The first `count` lines that are neither headings nor tags."""
    lines = (line for line in read_lines(path, "--text") if not line.startswith("<"))
    return list(islice((line for line in lines if len(line) >= SHORTEST), count))


def some_pairs(path: str, count: int) -> ParallelText:
    """At most `count` pairs, evenly chosen."""
    pairs = read_parallel(path).pairs
    return ParallelText(pairs[:: -(-len(pairs) // count)])
