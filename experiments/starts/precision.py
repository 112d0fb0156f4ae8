"""Do the rows of a start lie nearest to the source's row for the word that they mean?

    python experiments/starts/precision.py SOURCE --text KO.txt.xz --dictionary TRAIN.tsv.xz \\
        --held_out TEST.tsv.xz --parallel PAIRS.tsv.xz [--source_text EN.txt]

SOURCE is an English encoder with its tokenizer. A tokenizer is trained on the text; every pair of the
held-out dictionary that is one piece in both vocabularies is asked: is the source row of the largest cosine
(around the source's mean) a right translation? By chance one in the source's vocabulary is.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sample import some_pairs, text_lines  # it stands beside this script

from xpt.program.environment import describe_command, describe_hardware, describe_versions
from xpt.text.special_tokens import SpecialIds
from xpt.text.tokenizer import load_tokenizer
from xpt.text.tokenizer_training import train_tokenizer
from xpt.transplant.embeddings import EMBEDDING_INITS, EmbeddingContext, Start, Vocabulary
from xpt.transplant.embeddings.algebra import unit_rows
from xpt.transplant.embeddings.files import read_dictionary, read_lines
from xpt.transplant.source import open_source


def arguments() -> argparse.Namespace:
    """What to measure with."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    for name in ("text", "dictionary", "held_out", "parallel"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--source_text", help="default: the source's sentences of --parallel")
    parser.add_argument("--lines", type=int, default=60_000, help="of the text")
    parser.add_argument("--pairs", type=int, default=30_000, help="of --parallel, evenly chosen")
    parser.add_argument("--vocab_size", type=int, default=8_000)
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="starts of these; default: all")
    parser.add_argument("--store", action="store_true", help="write precision_SOURCE.json")
    return parser.parse_args()


def encoded(vocabulary: Vocabulary, lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and offsets as a context has them."""
    ids = vocabulary.encode(lines)
    offsets = np.cumsum([0, *map(len, ids)])
    return np.concatenate([np.asarray(one, dtype=np.uint32) for one in ids]), offsets


def questions(pairs: list[tuple[str, str]], target: Vocabulary, source: Vocabulary) -> dict[int, set[int]]:
    """Right source ids of each target id, of pairs that are one piece on both sides."""
    theirs = source.encode_words([pair[0] for pair in pairs])
    ours = target.encode_words([pair[1] for pair in pairs])
    found: dict[int, set[int]] = {}
    for one, other in zip(ours, theirs, strict=True):
        if len(one) == len(other) == 1:
            found.setdefault(one[0], set()).add(other[0])
    return found


def precision(start: Start, context: EmbeddingContext, asked: dict[int, set[int]]) -> dict[str, Any]:
    """Share of questions of which the nearest source row is right, and one of the five nearest."""
    mean = context.source_embeddings.mean(dim=0)
    candidates = torch.tensor([i for i, piece in enumerate(context.vocabularies()[1].pieces) if piece])
    rows = unit_rows(context.source_embeddings[candidates] - mean)
    likeness = unit_rows(start.matrix[list(asked)] - mean) @ rows.T
    nearest = candidates[likeness.topk(5, dim=1).indices].tolist()
    hits = [[one in right for one in row] for row, right in zip(nearest, asked.values(), strict=True)]
    return {
        "asked": len(hits),
        "precision_at_1": round(sum(row[0] for row in hits) / len(hits), 4),
        "precision_at_5": round(sum(map(any, hits)) / len(hits), 4),
    }


def main() -> None:
    given = arguments()
    source = open_source(given.source)
    text = text_lines(given.text, given.lines)
    tokenizer = train_tokenizer(text, given.vocab_size)
    target, theirs = Vocabulary.of(tokenizer), Vocabulary.of(load_tokenizer(given.source))
    ids, offsets = encoded(target, text)
    parallel = some_pairs(given.parallel, given.pairs)
    english = list(read_lines(given.source_text, "--source_text")) if given.source_text else None
    other = encoded(theirs, english or [pair[0] for pair in parallel.pairs])
    context = EmbeddingContext(
        source_embeddings=source.word_embeddings,
        vocab_size=given.vocab_size,
        special=SpecialIds.of(tokenizer),
        ids=ids,
        offsets=offsets,
        target=target,
        source=theirs,
        dictionary=read_dictionary(given.dictionary),
        parallel=parallel,
    )
    asked = questions(read_dictionary(given.held_out), target, theirs)
    with_text = replace(context, source_ids=other[0], source_offsets=other[1])
    starts = {
        "random": ("random", context),
        "dictionary, the source's own space": ("dictionary", context),
        "dictionary, vectors of source text": ("dictionary", with_text),
        "align": ("align", context),
        "procrustes": ("procrustes", context),
        "procrustes, vectors of source text": ("procrustes", with_text),
        "adversarial": ("adversarial", context),
        "adversarial, vectors of source text": ("adversarial", with_text),
    }
    found: dict[str, Any] = {}
    if given.only:
        starts = {name: start for name, start in starts.items() if start[0] in given.only}
    for name, (method, seen) in starts.items():
        began = time.perf_counter()
        start = EMBEDDING_INITS[method].start(seen)
        seconds = round(time.perf_counter() - began, 1)
        report = start.report(seen)
        found[name] = {**precision(start, seen, asked), "seconds": seconds, **report}
        shown = {key: found[name][key] for key in ("asked", "precision_at_1", "precision_at_5", "seconds")}
        print(name, shown, report["rows"], *report["notes"], sep="; ", flush=True)
    if given.store:
        result = {
            "command": describe_command(__file__, [Path(one).name for one in sys.argv[1:]]),
            "versions": describe_versions(),
            "hardware": describe_hardware(),
            "source": source.describe(),
            "lines": len(text),
            "sentence_pairs": len(parallel.pairs),
            "tokens": len(ids),
            "source_tokens": len(other[0]),
            "starts": found,
        }
        stored = Path(__file__).with_name(f"precision_{Path(given.source).name}.json")
        stored.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
