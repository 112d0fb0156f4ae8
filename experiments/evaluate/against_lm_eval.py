"""Our log-likelihoods beside those of lm-evaluation-harness: one model, the same items, prompts and shots.

    pip install 'xpt[lm_eval]'
    python experiments/evaluate/against_lm_eval.py --model FOLDER --data_dir KoBEST_datarepo/v1.0 \\
        --task copa sentineg --num_fewshot 0 5 --store experiments/evaluate/smollm2.json

The harness runs its own task files, prompts, shots and model class; only its data come from the official
tables instead of the Hub, by our reader, under the Hub's names.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import lm_eval
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from xpt.evaluate.arguments import ItemArguments, ScoringArguments
from xpt.evaluate.evaluation import ModelEvaluation, read_tasks
from xpt.evaluate.items import ASKED
from xpt.finetune.data import find_file, read_text
from xpt.program.environment import describe_hardware, describe_versions
from xpt.program.files import write_json_atomically

TASK_FILES = Path(lm_eval.__file__).parent / "tasks" / "kobest"
SPLITS = ("train", "validation", "test")
SEED = 1234  # of shots; the default of both


def hub_rows(name: str, data_dir: Path, split: str) -> list[dict[str, Any]]:
    """An official table as the Hub's data set has it: its names of columns, labels as numbers from 0."""
    task = ASKED[name]()
    file = find_file(task, data_dir, split)
    rows = []
    for record in task.records(read_text(file), file.name):
        row = {hub: task.text(record, column) for column, hub in task.columns.items()}
        rows.append({**row, "label": task.labels.index(task.label(record))})
    return rows


def harness_scores(
    model: Path, data_dir: Path, tasks: list[str], shots: int, items: int
) -> dict[str, dict[str, Any]]:
    """Of each task the metrics, and the log-likelihoods of each item, as the harness has them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in tasks:
            files = {}
            for split in SPLITS:
                files[split] = str(Path(folder, f"{name}-{split}.jsonl"))
                lines = (json.dumps(row, ensure_ascii=False) for row in hub_rows(name, data_dir, split))
                Path(files[split]).write_text("\n".join(lines), encoding="utf-8")
            config = {
                "include": str(TASK_FILES / f"kobest_{name}.yaml"),
                "task": name,
                "dataset_path": "json",
                "dataset_name": None,
                "dataset_kwargs": {"data_files": files},
            }
            Path(folder, f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        found = lm_eval.simple_evaluate(
            model=HFLM(pretrained=str(model), dtype="float32", device="cpu", batch_size=8),
            tasks=tasks,
            task_manager=TaskManager(include_path=folder, include_defaults=False),
            num_fewshot=shots,
            limit=items,
            bootstrap_iters=0,
            fewshot_random_seed=SEED,
            log_samples=True,
        )
    scores = {}
    for name in tasks:
        samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
        lines = [[float(answer[0]) for answer in sample["filtered_resps"]] for sample in samples]
        scores[name] = {"metrics": found["results"][name], "log_likelihoods": lines}
    return scores


def own_scores(model: Path, data_dir: Path, tasks: list[str], shots: int, items: int) -> dict[str, Any]:
    """The same of `xpt evaluate`."""
    with tempfile.TemporaryDirectory() as folder:
        scoring = ScoringArguments(num_fewshot=[shots], fewshot_seed=SEED, batch_size=8, output_dir=folder)
        asked = read_tasks(ItemArguments(tasks, [str(data_dir)], max_test_examples=items), scoring)
        evaluation = ModelEvaluation(str(model), None, asked, scoring)
        scores = {}
        for one in asked:
            entry, lines = evaluation.run(one, Path(folder))
            values = [line["log_likelihoods"] for line in lines]
            scores[one.task.name] = {"metrics": entry["metrics"], "log_likelihoods": values}
        return scores


def compare(model: Path, data_dir: Path, tasks: list[str], shots: int, items: int) -> list[dict[str, Any]]:
    """Of each task both scores, and the largest difference of a log-likelihood, in nats."""
    own = own_scores(model, data_dir, tasks, shots, items)
    theirs = harness_scores(model, data_dir, tasks, shots, items)
    rows = []
    for name in tasks:
        one, other = (
            torch.tensor(scores[name]["log_likelihoods"], dtype=torch.float64) for scores in (own, theirs)
        )
        assert one.shape == other.shape, (name, one.shape, other.shape)
        names = {"accuracy": "acc,none", "macro_f1": "f1,none", "acc_norm": "acc_norm,none"}
        harness = {
            metric: 100 * theirs[name]["metrics"][key]
            for metric, key in names.items()
            if key in theirs[name]["metrics"]
        }
        rows.append(
            {
                "task": name,
                "num_fewshot": shots,
                "items": len(one),
                "xpt": {metric: own[name]["metrics"][f"{name}/{metric}"] for metric in harness},
                "lm_eval": harness,
                "largest_difference_nats": float((one - other).abs().max()),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--task", nargs="+", default=list(ASKED))
    parser.add_argument("--num_fewshot", nargs="+", type=int, default=[0])
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    rows = [
        row
        for n in given.num_fewshot
        for row in compare(given.model, given.data_dir, given.task, n, given.items)
    ]
    for row in rows:
        print(json.dumps(row))
    if given.store:
        shown = [
            "--model",
            given.model.name,
            "--task",
            *given.task,
            "--num_fewshot",
            *map(str, given.num_fewshot),
        ]
        write_json_atomically(
            given.store,
            {
                "command": " ".join(
                    ["python experiments/evaluate/against_lm_eval.py", *shown, "--items", str(given.items)]
                ),
                "model": given.model.name,
                "seed": SEED,
                "rows": rows,
                "versions": {**describe_versions(), "lm_eval": lm_eval.__version__},
                "hardware": describe_hardware(),
            },
        )


if __name__ == "__main__":
    main()
