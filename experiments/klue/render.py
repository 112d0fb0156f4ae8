"""Runs of fine-tuning stored in `results/` as the table of README.md.

python experiments/klue/render.py                       rewrite the table
python experiments/klue/render.py --store output/xpt/*  keep results of finished runs too
"""

import json
import sys
from pathlib import Path
from typing import Any

from xpt.finetune.klue.klue_metric.names import OFFICIAL
from xpt.finetune.klue.tasks import make_task

HERE = Path(__file__).resolve().parent
README, RESULTS = HERE / "README.md", HERE / "results"
BEGIN, END = "<!-- runs: experiments/klue/render.py -->\n", "<!-- end of runs -->"
MODELS = {"xpt-demo": "the demo's XPT", "korean-albert": "kykim/albert-kor-base"}


def store(folder: Path) -> None:
    """Keep a finished run's results, named after model and task."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    del results["settings"]  # they name folders of a machine
    if results["model"]["name"] == "demo":
        results["model"]["name"] = "xpt-demo"
    name = f"{results['model']['name']}-{results['task']}.json"
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (RESULTS / name).write_text(text + "\n", encoding="utf-8")


def rendered(text: str) -> str:
    """The README with the table of what is stored."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.split(END)[1]}"


def table() -> str:
    """A line for each run, models in turn, tasks in the benchmark's order."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")]
    names, tasks = list(MODELS), list(OFFICIAL)
    stored.sort(key=lambda one: (names.index(one["model"]["name"]), tasks.index(one["task"])))
    lines = ["| model | task | learned on | epochs | scored on | scores | training |", "|-|-|-|-|-|-|-|"]
    return "\n".join([*lines, *map(_row, stored)]) + "\n"


def _row(one: dict[str, Any]) -> str:
    scores = ", ".join(
        f"{metric.split('/')[1]} {'undefined' if value is None else f'{value:.2f}'}"
        for metric, value in one["metrics"].items()
    )
    own = make_task(one["task"]).settings.num_train_epochs
    epochs = f"{one['changed'].get('num_train_epochs', own):g} of {own:g}"
    cells = (MODELS[one["model"]["name"]], one["task"], _count(one, "train"), epochs)
    minutes = f"{one['seconds']['training'] / 60:.0f} min"
    return f"| {' | '.join((*cells, _count(one, 'validation'), scores, minutes))} |"


def _count(one: dict[str, Any], split: str) -> str:
    """Of both tasks whose training set is not at hand, both splits are cut from dev."""
    data = one["data"][split]
    if one["task"] in ("mrc", "wos"):
        return f"{data['records']:,} cut from dev"
    if data["whole"]:
        return f"all {data['records']:,}"
    return f"{data['records']:,} of {data['official_records']:,}"


def main() -> None:
    if sys.argv[1:2] == ["--store"]:
        for folder in map(Path, sys.argv[2:]):
            store(folder)
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
