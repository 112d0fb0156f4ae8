"""Files that starts read: a dictionary, parallel text, links, plain text; packed ones are unpacked."""

import bz2
import gzip
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError
from xpt.transplant.embeddings.context import ParallelText

_OPENERS: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_LINK = re.compile(r"(\d{1,6})-(\d{1,6})")


def read_dictionary(path: str) -> list[tuple[str, str]]:
    """Word pairs, the source's language first; every one once, in the file's order.

    A line has a tab between both, or, without any tab, white space between two words. Other lines are left
    out. Raises `XPTError` where no pair is left, or the file cannot be read.
    """
    pairs = []
    for line in read_lines(path, "--dictionary"):
        parts = line.split("\t") if "\t" in line else line.split()
        words = [part.strip() for part in parts]
        if len(words) == 2 and all(words):
            pairs.append((words[0], words[1]))
    if not pairs:
        raise XPTError(f"--dictionary {path}: no line holds two words with a tab or a space between")
    return list(dict.fromkeys(pairs))


def read_parallel(path: str, alignments: str | None = None) -> ParallelText:
    """Sentence pairs and, where a file of links is given, the links of each.

    Columns behind the second are left out. Raises `XPTError` for a line without a tab, links that are not one
    line a pair or point beyond its words, or a file that cannot be read.
    """
    pairs = []
    for number, line in enumerate(read_lines(path, "--parallel"), 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise XPTError(f"--parallel {path}: line {number} has no tab between two sentences")
        pairs.append((columns[0].strip(), columns[1].strip()))
    if not pairs:
        raise XPTError(f"--parallel {path} holds no sentence pair")
    return ParallelText(pairs, None if alignments is None else _read_links(alignments, path, pairs))


def _read_links(path: str, parallel: str, pairs: list[tuple[str, str]]) -> list[list[tuple[int, int]]]:
    lines = list(read_lines(path, "--alignments"))
    if len(lines) != len(pairs):
        raise XPTError(
            f"--alignments {path} has {len(lines):,} lines for the {len(pairs):,} of --parallel {parallel}"
        )
    links = []
    for number, (line, pair) in enumerate(zip(lines, pairs, strict=True), 1):
        found = [_LINK.fullmatch(part) for part in line.split()]
        read = [(int(match[1]), int(match[2])) for match in found if match]
        sizes = tuple(len(side.split()) for side in pair)
        if len(read) < len(found) or any(one >= sizes[0] or other >= sizes[1] for one, other in read):
            raise XPTError(
                f"--alignments {path}: line {number} is no list of links as 0-0 1-2 between the {sizes[0]} "
                f"and {sizes[1]} words of its pair"
            )
        links.append(read)
    return links


def read_lines(path: str, option: str) -> Iterator[str]:
    """Lines of a UTF-8 file without their ends. Raises `XPTError`, which names the option and the file."""
    file = Path(path).expanduser()
    try:
        with _OPENERS.get(file.suffix.lower(), open)(file, "rt", encoding="utf-8-sig", newline="\n") as lines:
            for line in lines:
                yield line.rstrip("\r\n")
    except FileNotFoundError as error:
        raise XPTError(f"{option} {path}: there is no such file") from error
    except UnicodeDecodeError as error:
        raise XPTError(f"{option} {path}: it is not UTF-8 text") from error
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise XPTError(f"{option} {path}: it cannot be read ({' '.join(str(error).split())})") from error
