"""Compares sentence splitters on Korean text split by hand: boundary F1 and sentences a second on one core.

    pip install kiwipiepy blingfire kss
    python experiments/splitters/compare.py --gold experiments/splitters/gold.jsonl [more.jsonl ...] \\
        --output experiments/splitters/result.json

A gold file has one line of text per row: {"source": ..., "sentences": [...]}; its sentences joined are the
line. Every splitter gets the lines as the corpus cleaner hands them on. A boundary counts by how many
characters other than white space stand before it; line ends do not count.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import sentencex

from xpt.text.corpus.clean import clean_text, repair_korean
from xpt.text.corpus.sentences import split_with_sentencex

Splitter = Callable[[str], list[str]]


def kiwi_splitter() -> Splitter:
    """Kiwi: a Korean morphological analyzer."""
    from kiwipiepy import Kiwi

    kiwi = Kiwi(num_workers=1)
    return lambda line: [sentence.text for sentence in kiwi.split_into_sents(line)]


def blingfire_splitter() -> Splitter:
    """Blingfire: compiled rules, one set for all languages."""
    from blingfire import text_to_sentences

    return lambda line: text_to_sentences(line).split("\n")


def kss_splitter() -> Splitter:
    """Kss: Korean rules over a Korean tagger."""
    import contextlib
    import io

    from kss import split_sentences

    def split(line: str) -> list[str]:
        with contextlib.redirect_stdout(io.StringIO()):
            return split_sentences(line, backend="pecab", num_workers=1)

    return split


# name, package, how to make it
SPLITTERS: list[tuple[str, str, Callable[[], Splitter]]] = [
    (
        "sentencex, corrected for Korean (default)",
        "sentencex",
        lambda: lambda line: split_with_sentencex(line, "ko"),
    ),
    ("sentencex", "sentencex", lambda: lambda line: sentencex.segment("ko", line)),
    ("kiwi", "kiwipiepy", kiwi_splitter),
    ("blingfire", "blingfire", blingfire_splitter),
    ("kss", "kss", kss_splitter),
]


def boundaries(pieces: list[str]) -> set[int]:
    """Where a new piece begins, in characters that are not white space."""
    lengths = ["".join(piece.split()) for piece in pieces]
    ends = list(accumulate(len(piece) for piece in lengths if piece))
    return set(ends[:-1])


def line_of(row: dict[str, Any]) -> str:
    """The line as the corpus cleaner hands it on."""
    return repair_korean(clean_text("".join(row["sentences"])))


def score(split: Splitter, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Precision, recall and F1 of the boundaries inside lines."""
    right = proposed = wanted = 0
    for row in rows:
        gold, found = boundaries(row["sentences"]), boundaries(split(line_of(row)))
        right, proposed, wanted = right + len(gold & found), proposed + len(found), wanted + len(gold)
    return {
        "precision": round(right / max(1, proposed), 4),
        "recall": round(right / max(1, wanted), 4),
        "f1": round(2 * right / max(1, proposed + wanted), 4),
    }


def speed(split: Splitter, rows: list[dict[str, Any]]) -> int:
    """Sentences a second over lines the splitter has not seen: some keep what they analyzed once."""
    split("처음 한 번은 사전을 읽는다. 그래서 세지 않는다.")
    lines = [line_of(row) for row in rows]
    start = time.perf_counter()
    count = sum(len(split(line)) for line in lines)
    return round(count / (time.perf_counter() - start))


def errors(split: Splitter, rows: list[dict[str, Any]]) -> list[str]:
    """Every boundary that is wrong (+) or missed (-), with what stands around it."""
    shown = []
    for row in rows:
        line = line_of(row)
        dense = "".join(line.split())
        gold, found = boundaries(row["sentences"]), boundaries(split(line))
        for place in sorted(gold ^ found):
            sign = "+" if place in found else "-"
            shown.append(
                f"{row['source']} {sign} {dense[max(0, place - 20) : place]} | {dense[place : place + 15]}"
            )
    return shown


def main() -> None:
    """Score every splitter on every source; write one JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gold", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--show_errors", action="store_true")
    arguments = parser.parse_args()
    rows = [json.loads(line) for path in arguments.gold for line in path.read_text("utf-8").splitlines()]
    sources = sorted({row["source"] for row in rows})
    results = []
    for name, package, make in SPLITTERS:
        split = make()
        rate = speed(split, rows)  # first, while every line is new
        by_source = {
            source: score(split, [row for row in rows if row["source"] == source]) for source in sources
        }
        results.append(
            {
                "splitter": name,
                "package": f"{package}=={importlib.metadata.version(package)}",
                "all": score(split, rows),
                **by_source,
                "sentences_per_second": rate,
            }
        )
        print(json.dumps(results[-1], ensure_ascii=False))
        if arguments.show_errors:
            print("\n".join(errors(split, rows)))
    report = {
        "command": "python experiments/splitters/compare.py " + " ".join(Path(a).name for a in sys.argv[1:]),
        "gold": {
            source: {
                "lines": sum(row["source"] == source for row in rows),
                "sentences": sum(len(row["sentences"]) for row in rows if row["source"] == source),
            }
            for source in sources
        },
        "python": platform.python_version(),
        "hardware": f"{_processor()}, one of {os.cpu_count()} cores",
        "results": results,
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    names = [
        line.split(":")[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return names[0].strip() if names else platform.processor()


if __name__ == "__main__":
    main()
