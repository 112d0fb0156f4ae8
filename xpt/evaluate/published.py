"""What others report of Polyglot-Ko on KoBEST, each figure under the metric that it really is.

`published.csv` has a line for a model, task and metric of one source, percent by number of examples shown.
Its `metric` is what the figure is, `printed_as` what its source calls it. The report and the later model
cards print "F1" where HellaSwag is `acc_norm` and WiC is accuracy: of one model and prompt both are known
from pull request 1263 of lm-evaluation-harness (HellaSwag 0.532 and 0.401 against a printed 0.525, WiC 0.487
and 0.327 against 0.489), and the earlier cards have the macro F1 of HellaSwag. Macro F1 of a constant "예" on
WiC is 0.328.
"""

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("published.csv")
SHOTS = (0, 5, 10, 50)
SOURCES = {
    "pull": "EleutherAI/lm-evaluation-harness, pull request 1263 (2024), polyglot branch",
    "report": "Technical report (arXiv:2306.02254), quoted in EleutherAI/polyglot issue 37",
    "rerun": "A user's run, EleutherAI/polyglot issue 37 (2023)",
    "card": "Model cards on the Hub, 2023 (polyglot branch as it was then)",
    "early_card": "Earlier model cards (EleutherAI/polyglot, commit 3826b8d; polyglot-ko-3.8b, 5b720c0)",
    "fork": "Beomi/ko-lm-evaluation-harness, results/all",
}


@dataclass(frozen=True)
class Published:
    """One line of the file; `values` are percent by number of shots, as far as they are reported."""

    model: str
    task: str
    metric: str
    printed_as: str
    prompts: str
    source: str
    values: dict[int, str]


def read_published() -> list[Published]:
    """All lines."""
    with open(FILE, encoding="utf-8", newline="") as file:
        return [
            Published(
                **{
                    name: row[name] for name in ("model", "task", "metric", "printed_as", "prompts", "source")
                },
                values={shots: row[str(shots)] for shots in SHOTS if row[str(shots)]},
            )
            for row in csv.DictReader(file)
        ]


def published_figures(prompts: str, tasks: Collection[str], shots: Sequence[int]) -> str:
    """A section in Markdown with what is reported of these tasks by these prompts; "" for nothing."""
    found = [
        one
        for one in read_published()
        if one.prompts == prompts and one.task in tasks and not set(shots).isdisjoint(one.values)
    ]
    if not found:
        return ""
    lines = [
        f"Published, by prompts of the same family ({prompts}); no runs of this package. Whole test sets, "
        "other shots than here. Metrics are what the figures are, beside what a source calls them otherwise.",
        "",
        "| model | metric | " + " | ".join(f"{count} shots" for count in shots) + " | source |",
        "|-|-|" + "-|" * len(shots) + "-|",
    ]
    for one in found:
        called = "" if _same(one) else f" (printed as {one.printed_as})"
        figures = " | ".join(one.values.get(count, "") for count in shots)
        lines.append(f"| {one.model} | {one.task} {one.metric}{called} | {figures} | {SOURCES[one.source]} |")
    return "\n".join(lines)


def _same(one: Published) -> bool:
    called = one.printed_as.lower().replace(" ", "_")
    return called == one.metric or (called == "f1" and one.metric == "macro_f1")
