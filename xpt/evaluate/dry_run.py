"""What an evaluation would score, before any model is opened: items, answers, characters."""

from collections.abc import Sequence

from xpt.evaluate.arguments import ItemArguments, ScoringArguments
from xpt.evaluate.evaluation import Asked, read_tasks
from xpt.evaluate.prompts import SOURCES
from xpt.evaluate.published import published_figures

NOT_MEASURED = "*not measured*"


def planned(models: Sequence[str], items: ItemArguments, scoring: ScoringArguments) -> str:
    """A table of what would be measured, and what is published of the same."""
    asked = read_tasks(items, scoring)
    lines = [
        f"Prompts: {scoring.prompts} ({SOURCES[scoring.prompts]}). Nothing is scored yet.",
        "",
        "| task | shots | items | answers | characters a row | " + " | ".join(models) + " |",
        "|-|-|-|-|-|" + "-|" * len(models),
    ]
    for one in asked:
        answers = [len(item.context + answer) for item in one.items for answer in item.continuations]
        cells = [
            *(one.task.name, str(one.shots), _items(one), f"{len(answers):,}"),
            f"{sum(answers) / len(answers):,.0f}",
            *[NOT_MEASURED] * len(models),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    tasks = list(dict.fromkeys(one.task.name for one in asked))
    published = published_figures(scoring.prompts, tasks, scoring.shots)
    return "\n".join(lines) + (f"\n\n{published}" if published else "")


def _items(one: Asked) -> str:
    whole = "" if one.test.is_whole else f" of {one.test.official:,}"
    return f"{one.test.used:,}{whole}"
