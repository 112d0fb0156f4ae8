"""Results of one evaluation as a table; prompts of two families never share one."""

from collections.abc import Sequence
from typing import Any

from xpt.evaluate.prompts import SOURCES
from xpt.evaluate.published import published_figures

METHODS = {
    "log-likelihood": "the answer of highest log-likelihood",
    "pseudo-log-likelihood": "the answer of highest pseudo-log-likelihood (Salazar et al. 2020)",
}


def markdown(results: Sequence[dict[str, Any]], prompts: str) -> str:
    """A line for each task and metric, a column for each model and number of shots; published figures below.

    Args:
        results: the entries of `results.json`, all by prompts of one family.

    Raises:
        ValueError: results of other prompts are among them.
    """
    if any(one["prompts"] != prompts for one in results):
        raise ValueError("results of different prompts share no table")
    methods = dict.fromkeys(one["method"] for one in results)
    columns = list(dict.fromkeys((one["model"]["name"], one["num_fewshot"]) for one in results))
    tasks = list(dict.fromkeys(one["task"] for one in results))
    by_place = {(one["task"], one["model"]["name"], one["num_fewshot"]): one for one in results}
    names = [f"{model}, {shots} shots" for model, shots in columns]
    lines = [
        f"Prompts: {prompts} ({SOURCES[prompts]}). Percent, [95 % interval over items]; "
        f"{'; '.join(METHODS[method] for method in methods)}.",
        "",
        "| | items | chance | constant | " + " | ".join(names) + " |",
        "|-|-|-|-|" + "-|" * len(names),
    ]
    for task in tasks:
        some = next(one for one in results if one["task"] == task)
        data = some["data"]["test"]
        items = f"{data['records']:,}" + ("" if data["whole"] else f" of {data['official_records']:,}")
        for metric in some["metrics"]:
            beside = [f"{some['baselines'][name][metric]:.2f}" for name in ("chance", "constant")]
            cells = [_cell(by_place.get((task, *column)), metric) for column in columns]
            lines.append(f"| {metric.replace('/', ' ')} | " + " | ".join([items, *beside, *cells]) + " |")
    remarks = [remark for one in results for remark in _remarks(one)]
    published = published_figures(prompts, tasks, sorted({shots for _, shots in columns}))
    parts = ["\n".join(lines), "\n".join(f"- {remark}" for remark in remarks), published]
    return "\n\n".join(filter(None, parts))


def _cell(result: dict[str, Any] | None, metric: str) -> str:
    if result is None:
        return ""
    low, high = result["intervals"][metric]
    return f"{result['metrics'][metric]:.2f} [{low:.2f}, {high:.2f}]"


def _remarks(result: dict[str, Any]) -> list[str]:
    """What the figures do not show: one answer for all, and text that was cut."""
    where = f"{result['model']['name']}, {result['task']}, {result['num_fewshot']} shots"
    remarks = []
    (most, count) = max(result["answers"].items(), key=lambda entry: entry[1])
    total = sum(result["answers"].values())
    if count >= 0.95 * total:
        remarks.append(f"{where}: the answer is {most} for {count:,} of {total:,} items")
    if result["cut"]:
        remarks.append(
            f"{where}: {result['cut']:,} items have more than {result['max_length']:,} tokens, and lost the "
            "beginning of what stands before the answer"
        )
    return remarks
