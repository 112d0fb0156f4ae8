"""Held-out loss after equal tokens: whether speed is bought with quality. Part of benchmarks/throughput.py.

All begin with the same weights and read as many real tokens, as many a step, at the same masks, learning rate
and optimizer. What is left apart: sentences that see each other or not, precision, and the draw of order,
masks and dropout, which is the noise that several seeds show.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from turns import Contestant, Watch

from xpt.run.preparation import PreparedText
from xpt.training.evaluation import evaluate_mlm


class AtTheEnd(Watch):
    """Scores the model on held-out sentences, in float32, when its training has ended."""

    def __init__(self, out: TextIO, text: PreparedText):
        super().__init__(out)
        self.text = text

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        scored = evaluate_mlm(model, self.text.held_out["validation"], self.text.log_probs)
        told = {"eval_loss": scored.loss, "unigram_loss": scored.unigram_loss}
        self.tell({**told, "tokens": self.tokens, "steps": state.global_step})


def train_all(
    script: Path, names: Sequence[str], setting: Mapping[str, Any], seeds: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """What each contestant scores, by name, a seed each; `script` ends in `compete` with `AtTheEnd`."""
    reports: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for seed in seeds:
        for name in names:
            contestant = Contestant(script, name, {**setting, "seed": seed})
            try:
                reports[name].append({"seed": seed, **contestant.run(1)})
            finally:
                contestant.close()
            last = reports[name][-1]
            said = f"seed {seed}: {name}: loss {last['eval_loss']:.3f} after {last['tokens']:,} tokens"
            print(said, file=sys.stderr, flush=True)
    return reports


def seed_noise(reports: Mapping[str, Sequence[dict[str, Any]]]) -> float:
    """The widest range of losses, in nats, over the seeds of one contestant."""
    losses = ([one["eval_loss"] for one in scored] for scored in reports.values())
    return max(max(found) - min(found) for found in losses)


def compare_losses(
    reports: Mapping[str, Sequence[dict[str, Any]]], reference: str
) -> dict[str, dict[str, Any]]:
    """Medians over the seeds, beside that of `reference`: `lower` or `higher` beyond `seed_noise`."""
    losses = {name: [one["eval_loss"] for one in scored] for name, scored in reports.items()}
    noise = seed_noise(reports)
    middle = statistics.median(losses[reference])
    rows = {}
    for name, found in losses.items():
        difference = statistics.median(found) - middle
        rows[name] = {
            "eval_loss": statistics.median(found),
            "lowest": min(found),
            "highest": max(found),
            "nats_under_unigram": reports[name][0]["unigram_loss"] - statistics.median(found),
            "difference": difference,
            "verdict": verdict(difference, noise) if len(found) > 1 else "one seed",
            "tokens": statistics.median(one["tokens"] for one in reports[name]),
            "steps": reports[name][0]["steps"],
        }
    return rows


def verdict(difference: float, noise: float) -> str:
    """Of a loss beside another."""
    if abs(difference) <= noise:
        return "same"
    return "lower" if difference < 0 else "higher"


def loss_table(rows: Mapping[str, Mapping[str, Any]], noise: float) -> str:
    """What a person reads."""
    lines = [f"{'':38} held-out loss (over seeds)   difference (noise {noise:.3f})    tokens   steps"]
    lines += [
        f"{name:38} {row['eval_loss']:.3f} ({row['lowest']:.3f}-{row['highest']:.3f})"
        f"{row['difference']:+15.3f} {row['verdict']:14} {row['tokens']:10,.0f}   {row['steps']:5}"
        for name, row in rows.items()
    ]
    return "\n".join(lines)
