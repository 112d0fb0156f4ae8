"""What a card says to machines: the front matter of README.md, and `.eval_results/*.yaml`.

Scores stand in both forms. `model-index` is the older one (huggingface_hub's `EvalResult`). The newer one is
a file for each benchmark task: dataset id, task id, value, and optionally revision and notes, as in hub-docs
`docs/hub/eval-results.md` and huggingface_hub's `EvalResultEntry`; leaderboards show it where the data set is
registered as a benchmark. A widget example's `output` is a list of `label` and `score` (huggingface.js,
`tasks/src/model-data.ts`).
"""

from collections.abc import Sequence
from typing import Any

from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData, eval_result_entries_to_yaml

from xpt.finetune.benchmarks import BENCHMARKS
from xpt.finetune.scored import scored_data
from xpt.program.yaml_text import dump
from xpt.transplant.architectures import CLM

# The Hub's names of what a model does, by the head that its class is named after.
PIPELINES = {
    "ForCausalLM": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
}
# The same of tasks, as the data sets' cards sort them; dialogue state tracking has no name there.
TASK_TYPES = {
    **dict.fromkeys(("ynat", "sts", "nli", "re", "boolq", "sentineg", "wic"), "text-classification"),
    **dict.fromkeys(("copa", "hellaswag"), "multiple-choice"),
    **dict.fromkeys(("ner", "dp"), "token-classification"),
    "mrc": "question-answering",
    "wos": "other",
}
# Names that the Hub's collection of metrics has for ours.
METRIC_TYPES = {"em": "exact_match"}
ORDER = (
    *("language", "license", "library_name", "pipeline_tag", "mask_token", "base_model"),
    *("base_model_relation", "datasets", "tags", "widget"),
)


def front_matter(data: dict[str, Any], model_name: str, scores: Sequence[EvalResult]) -> str:
    """YAML between the dashes of README.md; what is None or empty is left out."""
    given = {name: value for name, value in data.items() if value}
    card = ModelCardData(model_name=model_name, eval_results=list(scores) or None, **given)
    if not scores:
        card.model_name = None
    content = card.to_dict()
    return dump({name: content[name] for name in sorted(content, key=_place)}).strip()


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


def pipeline_tag(architecture: str) -> str | None:
    """The pipeline of a model class, by its name; None where transformers has none."""
    return next((tag for head, tag in PIPELINES.items() if architecture.endswith(head)), None)


def masked_scores(results: dict[str, Any]) -> list[EvalResult]:
    """Loss and perplexity on held-out text of a run of post-training; none where they were not measured."""
    if "test" not in results:
        return []
    inputs = results["corpus"]["inputs"]
    names = [one.get("file") or one.get("dataset") for one in inputs]
    of_hub = [one["dataset"] for one in inputs if one.get("dataset")]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    causal = results["transplant"].get("objective") == CLM
    same: dict[str, Any] = {
        "task_type": "text-generation" if causal else "fill-mask",
        "task_name": "Causal language modeling" if causal else "Masked language modeling",
        "dataset_type": of_hub[0] if len(inputs) == 1 and of_hub else "text",
        "dataset_name": f"Held-out text of {names[0]}{more}",
        "dataset_split": "test",
        **({} if causal else {"metric_args": {"mlm_probability": 0.15}}),
    }
    tokens = "token" if causal else "masked token"
    titles = {"loss": f"Loss in nats per {tokens}", "perplexity": f"Perplexity of {tokens}s"}
    return [
        EvalResult(**same, metric_type=name, metric_name=title, metric_value=results["test"][name])
        for name, title in titles.items()
        if results["test"].get(name) is not None
    ]


def klue_scores(results: dict[str, Any]) -> list[EvalResult]:
    """The official scores of one fine-tuning, in percent; one that is undefined is left out."""
    scored, benchmark = scored_data(results), BENCHMARKS[results["kind"]]
    name = results.get("scored_on", "validation")
    split = name if scored["whole"] else f"{name}[:{scored['records']}]"
    task = results["task"]
    return [
        EvalResult(
            task_type=TASK_TYPES[task],
            task_name=benchmark.tasks[task].title,
            dataset_type=benchmark.dataset,
            dataset_name=f"{benchmark.title} {task}",
            dataset_config=task,
            dataset_split=split,
            dataset_revision=scored["revision"],
            metric_type=_metric_type(metric),
            metric_name=metric,
            metric_value=results["metrics"][metric],
            metric_args={"seed": results["seed"], **_deviations(results)},
        )
        for metric in benchmark.metrics[task]
        if results["metrics"].get(metric) is not None
    ]


def _metric_type(metric: str) -> str:
    name = metric.split("/")[1]
    return "f1" if name.endswith("f1") else METRIC_TYPES.get(name, name)


def _deviations(results: dict[str, Any]) -> dict[str, Any]:
    """What of a fine-tuning is not as in the benchmark, by name."""
    found = dict(results["changed"])
    train = results["data"]["train"]
    if not train["whole"]:
        found["learned"] = f"{train['records']:,} of {train['official_records']:,}"
    if results["model"]["lora"]:
        found["lora_r"] = results["model"]["lora"]["r"]
    if results["reported_as"] != results["task"]:
        found["reported_as"] = results["reported_as"]
    return found


def klue_entries(klue_results: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What the files in `.eval_results` hold, by their names: one a task, an entry for each run.

    A task's value is the first of its official scores. A score on a part of the set compares with
    nobody's and has no entry.
    """
    files: dict[str, list[EvalResultEntry]] = {}
    for results in klue_results:
        task, scored, benchmark = results["task"], scored_data(results), BENCHMARKS[results["kind"]]
        metric, split = benchmark.metrics[task][0], results.get("scored_on", "validation")
        value = results["metrics"].get(metric)
        if value is None or not scored["whole"]:
            continue
        notes = {"seed": results["seed"], **_deviations(results)}
        entry = EvalResultEntry(
            dataset_id=benchmark.dataset,
            task_id=task,
            value=value,
            dataset_revision=scored["revision"],
            notes=", ".join([metric, split, *(f"{name} {said}" for name, said in notes.items())]),
        )
        files.setdefault(f"{benchmark.name}-{task}.yaml", []).append(entry)
    return {name: eval_result_entries_to_yaml(entries) for name, entries in files.items()}
