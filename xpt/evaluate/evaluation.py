"""One evaluation: models by tasks by numbers of shots, each scored once and kept."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from xpt.evaluate.arguments import ItemArguments, ScoredModels, ScoringArguments
from xpt.evaluate.items import ASKED, draw_shots
from xpt.evaluate.likelihood import plan_batches, score_rows
from xpt.evaluate.prompts import FAMILIES, Choices, ask
from xpt.evaluate.rows import check_kind, encoder_of, make_rows
from xpt.evaluate.scores import measure
from xpt.evaluate.store import ScoreStore
from xpt.finetune.backbone import Backbone, Kind, open_backbone
from xpt.finetune.multiple_choice import MultipleChoiceTask
from xpt.finetune.split import Split
from xpt.finetune.task import Task
from xpt.finetune.weight_files import WeightFiles, find_weights
from xpt.program.cache import cache_key
from xpt.program.environment import describe_hardware, describe_versions
from xpt.program.errors import XPTError
from xpt.program.files import write_json_atomically, write_text_atomically

KIND = "evaluation"
SENTENCES = tuple(name for name, kind in ASKED.items() if issubclass(kind, MultipleChoiceTask))
METHOD = {Kind.DECODER: "log-likelihood", Kind.ENCODER: "pseudo-log-likelihood"}


@dataclass(frozen=True)
class Asked:
    """One task with so many shots, as a model is asked it."""

    task: Task
    shots: int
    test: Split
    train: Split | None  # of which shots are drawn
    items: list[Choices]


def read_tasks(items: ItemArguments, scoring: ScoringArguments) -> list[Asked]:
    """All tasks and shots. Raises `XPTError` for data that cannot be read, or too few to draw from."""
    asked = []
    for name in items.asked():
        task: Task = ASKED[name]()
        test = items.source.read(task, "test", items.max_test_examples)
        train = items.source.read(task, "train") if any(scoring.shots) else None
        for shots in scoring.shots:
            pool = train.examples if train else []
            if shots > len(pool):
                raise XPTError(f"--num_fewshot {shots}: {name} has {len(pool):,} training examples")
            drawn = draw_shots(pool, len(test.examples), shots, scoring.fewshot_seed)
            choices = ask(FAMILIES[scoring.prompts][name], task.labels, test.examples, drawn)
            asked.append(Asked(task, shots, test, train if shots else None, choices))
    return asked


class ModelEvaluation:
    """One model's scores. Its weights are read when a score is missing.

    Raises:
        XPTError: a model that cannot be asked these tasks; before its weights are read.
    """

    def __init__(
        self, name: str, revision: str | None, asked: Sequence[Asked], scoring: ScoringArguments
    ) -> None:
        self.scoring = scoring
        self.backbone: Backbone = open_backbone(name, revision)
        self.backbone.dtype = scoring.dtype
        check_kind(self.backbone, scoring.shots, list(dict.fromkeys(a.task.name for a in asked)), SENTENCES)
        self.encoder = encoder_of(self.backbone, scoring.max_length)
        self.weights: WeightFiles = find_weights(name, revision)
        self.sha256 = self.weights.sha256  # reads them whole: once
        self._model: PreTrainedModel | None = None

    @property
    def model(self) -> PreTrainedModel:
        """With its language-model head, on its device. Raises `XPTError` where the checkpoint has none."""
        if self._model is None:
            head = AutoModelForCausalLM if self.backbone.kind is Kind.DECODER else AutoModelForMaskedLM
            model = self.backbone.load(head)
            if self.backbone.new_tensors:
                raise XPTError(
                    f"{self.backbone.name}: {self.backbone.new_tensors[0]} is missing: the checkpoint has no "
                    "language-model head, which would be random; take one that was pre-trained with it"
                )
            self._model = model.to(_device(self.scoring.device)).eval()
        return self._model

    def free(self) -> None:
        """Let the weights go, so that the next model finds their memory free."""
        self._model = None

    def run(self, one: Asked, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Score a task, as far as it is not; its entry of the results, and a line an item."""
        begin = time.perf_counter()
        made = make_rows(one.items, self.encoder, self.backbone.kind)
        batches = plan_batches(made.rows, self.scoring.batch_size, self.encoder.max_length)
        store = ScoreStore(folder / "scores" / f"{self.key(one)}.jsonl", list(map(len, batches)))
        title = f"{Path(self.backbone.name).name}, {one.task.name}, {one.shots} shots"
        if not store.complete:
            score_rows(self.model, made.rows, self.encoder, batches, store, title)
        sums = [0.0] * sum(len(item.continuations) for item in one.items)
        for row, score in zip(made.rows, store.by_row(batches), strict=True):
            sums[row.choice] += score
        values = iter(sums)
        scores = [[next(values) for _ in item.continuations] for item in one.items]
        gold = [example.label for example in one.test.examples]
        measured, lines = measure(one.task, one.items, gold, scores)
        entry = {
            "model": {
                "name": self.backbone.name,
                "revision": self.weights.commit,
                "sha256": self.sha256,
                "family": self.backbone.config.model_type,
                "dtype": self.scoring.dtype,
            },
            "task": one.task.name,
            "num_fewshot": one.shots,
            "fewshot_seed": self.scoring.fewshot_seed if one.shots else None,
            "prompts": self.scoring.prompts,
            "method": METHOD[self.backbone.kind],
            "max_length": self.encoder.max_length,
            "cut": made.cut,
            "rows": len(made.rows),
            "tokens": sum(len(row.ids) for row in made.rows),
            "data": {"test": one.test.describe(), "train": one.train and one.train.describe()},
            **measured,
            "seconds": round(time.perf_counter() - begin, 1),
        }
        return entry, lines

    def key(self, one: Asked) -> str:
        """The name of the scores: of all that decides them."""
        asked = json.dumps([[item.context, item.continuations] for item in one.items], ensure_ascii=False)
        scoring = self.scoring
        return cache_key(
            self.sha256, asked, scoring.dtype, str(scoring.batch_size), str(self.encoder.max_length)
        )


def _device(name: str | None) -> torch.device:
    try:
        return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise XPTError(f"--device {name}: is no device; give cpu or cuda") from error


def evaluate(
    models: ScoredModels, items: ItemArguments, scoring: ScoringArguments, command: str
) -> list[dict[str, Any]]:
    """Score every model on every task; `results.json` has what is finished, whenever that is.

    Returns:
        the entries of `results.json`, one a model, task and number of shots.
    """
    named = models.named()
    _device(scoring.device)
    asked = read_tasks(items, scoring)
    opened = [ModelEvaluation(name, revision, asked, scoring) for name, revision in named]
    folder, found = Path(scoring.output_dir), []
    for model in opened:
        for one in asked:
            entry, lines = model.run(one, folder)
            found.append(entry)
            name = f"{model.key(one)}.jsonl"
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            write_text_atomically(folder / "predictions" / name, text)
            entry["predictions"] = f"predictions/{name}"
            write_json_atomically(
                folder / "results.json",
                {
                    "kind": KIND,
                    "command": command,
                    "results": found,
                    "versions": describe_versions(),
                    "hardware": describe_hardware(),
                },
            )
        model.free()
    return found
