"""Score anybody's predictions as the benchmark does.

    xpt score --task re --gold klue-re-v1.1_dev.json --predictions predictions.jsonl

Prints one JSON object: metrics in percent, unrounded, null where the official code gives NaN. The gold file
is an official one, plain or .xz. Predictions are one JSON object a line; `--help` shows their fields.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xpt.finetune.benchmarks import check_owner, find_benchmark
from xpt.finetune.data import read_file, read_text
from xpt.finetune.task import Task
from xpt.finetune.trainer import score as score_lines
from xpt.program.errors import XPTError
from xpt.program.options import OptionParser
from xpt.program.script import main_of
from xpt.program.settings import option

INTRODUCTION = """\
Score predictions on a task of KLUE as the benchmark's own code does, its defects included; or of KoBEST.

  xpt score --task TASK --gold OFFICIAL_FILE --predictions PRED.jsonl

Prints one JSON object: metrics in percent, unrounded, null for what is undefined. One prediction a line:

  ynat, nli   {"guid": ..., "label": name of the label}; of KoBEST all tasks
  sts         {"guid": ..., "score": number}
  re          {"guid": ..., "label": relation, "probs": 30 probabilities in the order of the official list}
  ner         {"guid": ..., "tags": one a character row of the file, rows of blanks included}
  dp          {"guid": ..., "heads": one a word, 0 = root, "deprels": one a word}
  mrc         {"guid": ..., "text": "" for a question without an answer}
  wos         {"guid": ..., "turn": index of the user's turn, from 0, "state": ["domain-slot-value", ...]}"""


@dataclass
class ScoreArguments:
    """Predictions and gold."""

    task: str | None = option(
        None,
        "ynat, sts, nli, ner, re, dp, mrc or wos; of kobest boolq, copa, hellaswag, sentineg or wic. "
        "Default: none, it must be given.",
    )
    benchmark: Literal["klue", "kobest"] = option("klue", "Whose task it is.")
    gold: str | None = option(None, "Official file, plain or .xz. Default: none, it must be given.")
    predictions: str | None = option(None, "File of JSON lines. Default: none, it must be given.")
    variants: bool = option(
        False, "Add metrics of other definitions, under names of their own; see the metric's README."
    )


def score(
    task: str,
    gold: str | Path,
    predictions: str | Path,
    *,
    variants: bool = False,
    benchmark: str = "klue",
) -> dict[str, float | None]:
    """Score anybody's predictions as the benchmark's own code does, its defects included.

    Args:
        task: ynat, sts, nli, ner, re, dp, mrc or wos; or of another benchmark.
        gold: an official file, plain or .xz.
        predictions: a file of one JSON object a line; `xpt score --help` shows its fields.
        variants: whether metrics of other definitions are added, under names of their own.
        benchmark: klue or kobest.

    Returns:
        Metrics by name, in percent, unrounded; None where the official code gives NaN.

    Raises:
        XPTError: a file that cannot be read; a prediction that is missing, doubled, of no gold example, or
            not of the task's form: the line and the guid are named.

    Example:
        >>> gold = "klue-v1.1/klue-nli-v1.1/klue-nli-v1.1_dev.json"
        >>> metrics = xpt.score("nli", gold, "output/nli/predictions.jsonl")
        >>> metrics == xpt.Run("output/nli").results()["metrics"]
        True
    """
    owner = find_benchmark(benchmark)
    check_owner(owner, [task])
    made = owner.make_task(task)
    examples = read_file(made, Path(gold), made.scored_on).examples
    lines = read_predictions(made, examples, Path(predictions))
    metrics = score_lines(made, examples, lines, variants=variants)
    return {name: None if math.isnan(value) else value for name, value in metrics.items()}


def read_predictions(task: Task, examples: Sequence[Any], path: Path) -> list[dict[str, Any]]:
    """One prediction for each example, in their order."""
    known = {example.key: example for example in examples}
    found: dict[Any, dict[str, Any]] = {}
    for number, text in enumerate(read_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        place = f"{path.name} line {number}"
        line = _object(text, place)
        key = tuple(_field(line, field, place) for field in task.key_fields)
        shown = " turn ".join(map(str, key))
        try:
            example = known.get(key)
        except TypeError as error:  # a list, say
            raise XPTError(f"{place}: {shown} is no guid") from error
        if example is None:
            raise XPTError(f"{place}: {shown} is not in the gold file")
        if key in found:
            raise XPTError(f"{place}: {shown} is predicted twice")
        for field in task.prediction_fields:
            _field(line, field, f"{place}, {shown}")
        try:
            task.check_prediction(example, line)
        except (TypeError, ValueError) as error:
            raise XPTError(f"{place}, {shown}: {error}") from error
        found[key] = line
    missing = [example.key for example in examples if example.key not in found]
    if missing:
        shown = " turn ".join(map(str, missing[0]))
        raise XPTError(f"{path.name}: {len(missing):,} predictions are missing, the first is {shown}")
    return [found[example.key] for example in examples]


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise XPTError(f"{place}: not readable as JSON") from error
    if not isinstance(line, dict):
        raise XPTError(f"{place}: holds no JSON object")
    return line


def _field(line: dict[str, Any], field: str, place: str) -> Any:
    if field not in line:
        raise XPTError(f"{place}: has no {field!r}")
    return line[field]


def make_parser() -> OptionParser:
    """The parser behind `xpt score --help`."""
    return OptionParser((ScoreArguments,), "xpt score", INTRODUCTION)


def _score(arguments: Sequence[str]) -> str:
    (given,) = make_parser().read(arguments, Path).parts
    for name in ("task", "gold", "predictions"):
        if not getattr(given, name):
            raise XPTError(f"no --{name} given (see --help)")
    metrics = score(
        given.task, given.gold, given.predictions, variants=given.variants, benchmark=given.benchmark
    )
    return json.dumps(metrics, ensure_ascii=False)


main = main_of(_score)
