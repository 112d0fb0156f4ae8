"""STS: how similar two sentences are, from 0 to 5 (KLUE paper 3.2)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from xpt.finetune.judgment import Judgment
from xpt.finetune.klue.klue_task import KlueTask
from xpt.finetune.klue.official import json_records
from xpt.finetune.records import take
from xpt.finetune.sequence import SequenceTask
from xpt.finetune.task import Example, Hyperparameters, Record

ALIKE = 3  # from here on the benchmark calls two sentences similar


@dataclass(frozen=True)
class ScoredPair(Example):
    """Two sentences and the mean of what people said of them."""

    first: str
    second: str
    score: float


class STS(KlueTask, SequenceTask):
    """Two sentences -> similarity, by one output that is learned with the squared error."""

    name = "sts"
    title = "semantic textual similarity"
    folder = "klue-sts-v1.1"
    suffix = ".json"
    sizes = {"train": 11_668, "validation": 519}  # noqa: RUF012
    settings = Hyperparameters(128, 5e-5, 32, 4, warmup_ratio=0.1)
    large_settings = Hyperparameters(128, 2e-5, 32, 4, warmup_ratio=0.1)
    selected_on = "sts/pearsonr"
    patience = 5  # a default that the official script leaves as it is
    prediction_fields = ("score",)
    problem_type = "regression"
    outputs_per_example = 1

    def records(self, text: str, file: str) -> Iterator[Record]:
        """A JSON list."""
        return json_records(text, file)

    def hub_record(self, row: dict[str, Any], guid: str) -> Any:
        """The Hub has the same fields."""
        return row

    def examples(self, record: Record) -> list[ScoredPair]:
        """`guid`, both sentences and `real-label`, which is not rounded as `label` is."""
        score = float(take(record, "real-label", (int, float), take(record, "labels", dict)))
        if not 0 <= score <= 5:
            raise record.wrong(f"the real-label {score} is not from 0 to 5")
        return [ScoredPair(take(record, "guid"), take(record, "sentence1"), take(record, "sentence2"), score)]

    def target(self, example: ScoredPair) -> float:
        """The score as it is, not scaled."""
        return example.score

    def answer(self, logits: np.ndarray) -> dict[str, Any]:
        """The raw output, neither clipped nor rounded."""
        return {"score": float(logits[0])}

    def confidences(self, output: Any, batch: dict[str, Tensor]) -> list[float]:
        """How far the score is from `ALIKE`, as a share of how far it could be."""
        distance = (output.logits.float()[:, 0] - ALIKE).abs() / ALIKE  # (batch,)
        return distance.clamp(max=1.0).tolist()

    def judge(self, example: ScoredPair, line: dict[str, Any]) -> Judgment:
        """Right where both scores are on the same side of `ALIKE`, as the benchmark's F1 counts."""
        gold, answer = example.score, line["score"]
        said = [("alike" if score >= ALIKE else "different") for score in (gold, answer)]
        shown = (f"{gold:.2f} ({said[0]})", f"{answer:.2f} ({said[1]})")
        return Judgment(self.passages(example), *shown, float(said[0] == said[1]), ((said[0], said[1]),))

    def reference(self, example: ScoredPair) -> dict[str, Any]:
        """The gold score."""
        return {"score": example.score}

    def check_prediction(self, example: Any, line: dict[str, Any]) -> None:
        """Raise `ValueError` for what is no finite number."""
        score = line["score"]
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise ValueError(f"the score is {score!r:.60}, no number")
