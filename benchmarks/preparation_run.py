"""One start of preparation, as `train_xpt.py` does it, in a process of its own; used by preparation.py.

Prints a line of JSON when a stage begins, and the measured stages at the end.
"""

import json
import os
import sys
import time
from types import SimpleNamespace

BEGIN = time.perf_counter()
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from xpt.recipe.command_line import read_recipe  # noqa: E402
from xpt.run import preparation  # noqa: E402

STAGES = {"build_corpus": "corpus", "_tokenizer": "tokenizer", "encode_sentences": "ids"}


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])


def timed(stage: str, work, measured: dict):
    """`work`, with its time added to `measured`."""

    def run(*arguments, **options):
        print(json.dumps({"begins": stage}), flush=True)
        wall, cpu = time.perf_counter(), cpu_seconds()
        result = work(*arguments, **options)
        entry = measured.setdefault(stage, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
        entry["wall_seconds"] += time.perf_counter() - wall
        entry["cpu_seconds"] += cpu_seconds() - cpu
        print(json.dumps({"begins": "rest"}), flush=True)
        return result

    return run


def main() -> None:
    recipe = read_recipe([*sys.argv[1:], "--output_dir", "none"])
    measured: dict = {}
    for name, stage in STAGES.items():
        setattr(preparation, name, timed(stage, getattr(preparation, name), measured))
    imported = time.perf_counter() - BEGIN
    wall, cpu = time.perf_counter(), cpu_seconds()
    # Of a source it only asks whether it brings a tokenizer.
    text = preparation.prepare_text(recipe, SimpleNamespace(is_xpt=False))  # type: ignore[arg-type]
    whole = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds() - cpu}
    report = text.corpus.report
    result = {
        "import_seconds": imported,
        "whole": whole,
        "stages": measured,
        "documents": report["documents"],
        "sentences_cleaned": report["sentences"] + sum(report["dropped"].get(name, 0) for name in REPEATED),
        "sentences": report["sentences"],
        "characters": sum(split["characters"] for split in report["splits"].values()),
        "tokens": int(text.counts.sum()) + sum(len(one.sentences.ids) for one in text.held_out.values()),
        "vocab_size": len(text.tokenizer),
        "fingerprints": text.fingerprints,
    }
    print(json.dumps({"result": result}), flush=True)


REPEATED = ("duplicate", "held_out_seen_in_training", "near_duplicate")

if __name__ == "__main__":
    main()
