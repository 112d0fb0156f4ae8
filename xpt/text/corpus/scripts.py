"""Which scripts a text is written in: what shows that it is, or is not, in the language that was named."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xpt.text.corpus.settings import SPLIT_NAMES
from xpt.text.corpus.store import text_file
from xpt.text.language import script_of

_LINES_AT_ONCE = 1 << 12


def count_scripts(characters: Mapping[str, int]) -> Counter[str]:
    """Letters of each script, from the counts of characters. Digits and marks that all share are left out."""
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if script := script_of(character):
            scripts[script] += count
    return scripts


def count_characters(folder: Path, sizes: Mapping[str, list[int]]) -> Iterator[dict[str, Counter[str]]]:
    """For each entry of a built corpus the counts of its characters by split, read in one pass.

    `sizes`: sentences of each entry in each split, in corpus order.
    """
    with ExitStack() as stack:
        files = {name: stack.enter_context(open(text_file(folder, name), "rb")) for name in SPLIT_NAMES}
        for entry in range(len(sizes[SPLIT_NAMES[0]])):
            yield {name: _count_lines(file, sizes[name][entry]) for name, file in files.items()}


def _count_lines(file: BinaryIO, lines: int) -> Counter[str]:
    total = np.zeros(0x110000, np.int64)
    while lines:
        block = b"".join(islice(file, min(lines, _LINES_AT_ONCE)))
        lines -= min(lines, _LINES_AT_ONCE)
        counts = np.bincount(np.frombuffer(block.decode("utf-8").encode("utf-32-le"), np.uint32))
        total[: len(counts)] += counts
    total[ord("\n")] = 0  # line ends are no characters of the text
    return Counter({chr(code): int(total[code]) for code in np.flatnonzero(total)})
