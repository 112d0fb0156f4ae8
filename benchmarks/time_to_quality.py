"""Minutes from text and source on disk to a quality: nats under the unigram baseline on held-out bills.

    python benchmarks/time_to_quality.py --name demo --store true
    python benchmarks/time_to_quality.py --contestant stock --name stock --learning_rate 1e-3 --store true
    python benchmarks/time_to_quality.py --name fewer_steps --idea "..." -- --phase1_steps 100

The clock runs from the start of the process, imports and preparation included; while held-out sentences are
scored it stands still. `stock` is what `run_mlm.py` does at its best flags: the whole source with new random
embeddings, bfloat16, texts grouped to full rows; tokenizer and clean sentences are given to it. What stands
after `--` is told to train_xpt.py.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO), str(REPO / "benchmarks")]
from crossing import TARGETS, minutes_to  # noqa: E402
from flags import run_with_flags  # noqa: E402
from quality_contestants import CONTESTANTS, given_to_stock  # noqa: E402
from records import record, store  # noqa: E402

from xpt.program.settings import option  # noqa: E402

LINE = "{seconds:6.0f} s  {steps:5.0f} steps  loss {eval_loss:.3f}  {nats_under_unigram:+.3f} nats"


@dataclass
class Arguments:
    """What is measured."""

    contestant: str = option("ours", "Who trains.", choices=list(CONTESTANTS))
    name: str = option("demo", "Name of the stored result.")
    idea: str = option("the demo's recipe", "What was tried, in a line.")
    target: float = option(TARGETS[-1], "Nats under the unigram baseline at which it ends.")
    max_minutes: float = option(60.0, "When it ends anyway.")
    every: float = option(10.0, "Seconds of training between two scores.")
    validation_sentences: int = option(1000, "Held-out sentences that are scored.")
    rows: int = option(8, "Stock: rows of 128 tokens a step.")
    steps: int = option(4000, "Stock: steps over which the learning rate falls.")
    learning_rate: float = option(5e-4, "Stock: at its peak.")
    warmup_steps: float = option(0.06, "Stock: steps, or share of them, until then.")
    mlm_probability: float = option(0.15, "Stock: share of masked tokens.")
    seed: int = option(42, "Of weights, order and masks.")
    store: bool = option(False, "Keep the result in benchmarks/results.")


def run(asked: dict[str, Any]) -> list[dict[str, float]]:
    """The scores of one training. Raises `RuntimeError` where it died; it has said why."""
    if asked["contestant"] == "stock":
        given_to_stock(asked)
    script, scores = REPO / "benchmarks" / "quality_contestants.py", []
    started = json.dumps({**asked, "started": time.time()})
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    command = [sys.executable, str(script), started]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            scores.append(json.loads(line))
            print(LINE.format(**scores[-1]), flush=True)
    if process.returncode:
        raise RuntimeError(f"{asked['contestant']} ended early")
    return scores


def bench(arguments: Arguments, flags: Sequence[str]) -> str:
    """Measure, keep where asked; what was reached when."""
    with tempfile.TemporaryDirectory() as folder:
        scores = run({**asdict(arguments), "workdir": folder, "flags": flags})
    if arguments.store:
        facts = {"contestant": arguments.contestant, "name": arguments.name, "idea": arguments.idea}
        facts |= {"target": arguments.target}
        result = record("time_to_quality.py", arguments.seed, **facts, scores=scores)
        store(f"quality-{arguments.name}-{arguments.seed}", result)
    return "\n".join(
        f"{nats} nats under the unigram baseline: " + (f"{at:.2f} minutes" if at else "not reached")
        for nats, at in ((nats, minutes_to(scores, nats)) for nats in TARGETS)
    )


def main() -> int:
    """Run the command line."""
    return run_with_flags(bench, Arguments, "benchmarks/time_to_quality.py", __doc__)


if __name__ == "__main__":
    sys.exit(main())
