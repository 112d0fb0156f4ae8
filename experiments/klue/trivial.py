"""Answers that need no model, scored through `xpt.finetune.score` on the official dev files.

    python experiments/klue/trivial.py DIR        DIR: the official release v1.1, plain or .xz

Prints what comes out beside the score that the benchmark's own code gives for the same answers.
"""

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from xpt.finetune.data import find_file, read_file
from xpt.finetune.klue.tasks import make_task
from xpt.finetune.score import main as score


def always_society(example: Any) -> dict[str, Any]:
    return {"label": "사회"}


def always_title(example: Any) -> dict[str, Any]:
    return {"label": "per:title", "probs": [1 / 30] * 30}


def all_outside(example: Any) -> dict[str, Any]:
    return {"tags": ["O"] * len(example.tags)}


def next_word(example: Any) -> dict[str, Any]:
    count = len(example.words)
    return {
        "heads": [*range(2, count + 1), 0],
        "deprels": [*["NP"] * (count - 1), "VP"],
    }


ANSWERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "ynat": always_society,
    "re": always_title,
    "ner": all_outside,
    "dp": next_word,
}
OFFICIAL = {
    "ynat/macro_f1": 8.256000713839565,
    "re/micro_f1": 13.175520689971554,
    "re/auprc": 51.66666666666666,
    "ner/entity_macro_f1": 0.0,
    "ner/char_macro_f1": 6.770459534404054,
    "dp/uas_macro_f1": 64.48695687111156,
    "dp/uas_micro_f1": 66.57628022759602,
    "dp/las_macro_f1": 6.182748755984097,
    "dp/las_micro_f1": 24.755512091038405,
}


def lines(name: str, gold: Path) -> Iterator[str]:
    """A prediction a line for each gold example."""
    for example in read_file(make_task(name), gold, "validation").examples:
        yield json.dumps({"guid": example.guid, **ANSWERS[name](example)}, ensure_ascii=False)


def main() -> None:
    worst = 0.0
    for name in ANSWERS:
        gold = find_file(make_task(name), Path(sys.argv[1]), "validation")
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as out:
            file = Path(folder) / "predictions.jsonl"
            file.write_text("\n".join(lines(name, gold)), encoding="utf-8")
            assert score(["--task", name, "--gold", str(gold), "--predictions", str(file)]) == 0
        for metric, value in json.loads(out.getvalue()).items():
            worst = max(worst, abs(value - OFFICIAL[metric]))
            print(f"{metric:24} {value:.12f}   official {OFFICIAL[metric]:.12f}")
    print(f"largest difference {worst:.1e}")
    sys.exit(worst > 1e-6)


if __name__ == "__main__":
    main()
