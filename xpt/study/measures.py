"""What each run has reached, as plain values: for the table, and to be stored when folders are gone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError
from xpt.program.files import write_text_atomically
from xpt.run.folder import Run
from xpt.study.plan import PlannedRun, Step, plan_runs
from xpt.study.settings import SEED, Labels, Study

LOSS = "loss/token"
LOSSES = {LOSS: None, "loss/character": "characters", "loss/byte": "bytes"}
START = "loss/token at step 0"
FORMAT = 1
MOST_POINTS = 100  # of a stored curve


def higher_is_better(measure: str) -> bool:
    """Whether more is better: of all but losses."""
    return measure != START and measure not in LOSSES


@dataclass(frozen=True)
class Record:
    """One run: what it was, and what it reached.

    Args:
        labels: where it stands on each axis but seeds.
        seed: of the training.
        key: the hash of its settings; command: what trained it.
        figures: by measure; None where there is none.
        tokens: real ones that it read; seconds: that it took, fine-tunings left out.
        curve: tokens read and the training loss that was logged there.
        evaluated: tokens read and the validation loss there.
        along: by measure, tokens read and the figure there, the end last; of those taken along the way alone.
        minutes: that training took, preparing and measuring left out; None of a file of before.
        early: phases that validation ended before their last step.
        versions, hardware: of the machine that finished it.
    """

    labels: Labels
    seed: int
    key: str
    command: str
    figures: dict[str, float | None]
    tokens: int
    seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    evaluated: list[tuple[int, float]] = field(default_factory=list)
    along: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    minutes: float | None = None
    early: int = 0
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reached:
    """A study as far as it is done.

    Args:
        name: of the study.
        axes: of each its values' names, seeds left out.
        first: what rows are compared with.
        planned: how many runs there are to be.
        records: of those that are finished.
        question: that the study is to answer; command: what trains it.
        budget: of each run, as the study has it.
    """

    name: str
    axes: dict[str, list[str]]
    first: Labels
    planned: int
    records: list[Record]
    question: str = ""
    command: str = ""
    budget: dict[str, Any] = field(default_factory=dict)

    @property
    def measures(self) -> list[str]:
        """Names of all figures, losses first."""
        names = dict.fromkeys(name for record in self.records for name in record.figures)
        return [*LOSSES, *(name for name in names if name not in LOSSES)]


def collect_records(study: Study) -> Reached:
    """What the finished runs of a study have reached. Raises `XPTError` for damaged results."""
    runs = plan_runs(study)
    records = [_record(run) for run in runs if run.train.finished]
    axes = {axis: list(values) for axis, values in study.axes.items() if axis != SEED}
    return Reached(
        name=study.name,
        axes=axes,
        first=study.first,
        planned=len(runs),
        records=records,
        question=study.question,
        command=f"xpt study run {study.path}",
        budget=study.budget.describe(),
    )


def _record(run: PlannedRun) -> Record:
    folder = Run(run.train.folder, writes=False)
    results = folder.results()
    try:
        log, scores = folder.read_log(), _scores(run.tunings, None)
        phases = results["phases"]
        training = [results["seconds"].get(phase["name"], 0.0) for phase in phases]
        return Record(
            labels=run.row,
            seed=run.seed,
            key=run.key,
            command=results["command"],
            figures={**_losses(results), START: results["before"]["eval_loss"], **scores},
            tokens=sum(phase["tokens"] for phase in phases),
            seconds=round(sum(results["seconds"].values()), 1),
            curve=_curve(results, log),
            evaluated=_evaluated(results, log),
            along=_along(run, results, scores),
            minutes=round(sum(training) / 60, 3),
            early=sum(phase["steps"] < phase.get("most_steps", 0) for phase in phases),
            versions=results["versions"],
            hardware=results["hardware"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise folder.damaged_results(f"{type(error).__name__}: {error}") from error


def _losses(results: Mapping[str, Any]) -> dict[str, float | None]:
    """Test losses in nats; per character and byte none where a result of before lacks the counts."""
    loss, text = results["test"]["loss"], results.get("test_text")
    return {
        name: loss if unit is None else loss * text["tokens"] / text[unit] if text else None
        for name, unit in LOSSES.items()
    }


def _scores(tunings: Sequence[Step], at: int | None) -> dict[str, float | None]:
    """The mean of each metric over the fine-tunings after a step, or the end; None until all are finished."""
    tunings = [step for step in tunings if step.at == at]
    found: dict[str, list[float | None]] = {}
    kinds: dict[str, set[str]] = {}
    for step in tunings:
        metrics = Run(step.folder, writes=False).results()["metrics"] if step.finished else {}
        kinds.setdefault(step.kind, set()).update(metrics)
        for name, value in metrics.items():
            found.setdefault(_metric(step.kind, name), []).append(value)
    wanted = {kind: sum(step.kind == kind for step in tunings) for kind in kinds}
    scores = {}
    for kind, metrics_of in kinds.items():
        for name in metrics_of:
            values = found[_metric(kind, name)]
            whole = len(values) == wanted[kind] and None not in values
            scores[_metric(kind, name)] = sum(map(float, values)) / len(values) if whole else None  # type: ignore[arg-type]
    return dict(sorted(scores.items()))


def _metric(kind: str, name: str) -> str:
    """A metric under the measure's name: `nli/accuracy`, `small: nli/accuracy`."""
    return name if name.split("/")[0] == kind else f"{kind}: {name}"


def _along(
    run: PlannedRun, results: Mapping[str, Any], at_end: Mapping[str, float | None]
) -> dict[str, list[tuple[int, float]]]:
    """By measure, what it was after steps along the way and, last, at the end."""
    steps = sorted({step.at for step in run.tunings if step.at is not None})
    points = [(_tokens_after(results, step), _scores(run.tunings, step)) for step in steps]
    names = dict.fromkeys(name for _, scores in points for name in scores)
    points.append((sum(phase["tokens"] for phase in results["phases"]), dict(at_end)))
    return {
        name: [(tokens, value) for tokens, scores in points if (value := scores.get(name)) is not None]
        for name in names
    }


def _tokens_after(results: Mapping[str, Any], step: int) -> int:
    """Tokens read after so many steps of the run."""
    total = 0
    for phase in results["phases"]:
        if step <= phase["steps"]:
            return round(total + step * phase["tokens"] / phase["steps"])
        step, total = step - phase["steps"], total + phase["tokens"]
    return total


def _logged(
    results: Mapping[str, Any], log: Iterable[Mapping[str, Any]], name: str
) -> list[tuple[int, float]]:
    """Tokens read, and what was logged there under a name."""
    before, steps = {}, 0
    for phase in results["phases"]:
        before[phase["name"]] = steps
        steps += phase["steps"]
    return [
        (_tokens_after(results, before[entry["phase"]] + entry["step"]), entry[name])
        for entry in log
        if entry.get(name) is not None and entry["phase"] in before
    ]


def _curve(results: Mapping[str, Any], log: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Tokens read and the training loss of the steps before; every so many where there are too many."""
    points = _logged(results, log, "loss")
    every = -(-len(points) // MOST_POINTS) or 1
    return [(tokens, round(loss, 4)) for tokens, loss in points[::-every][::-1]]


def _evaluated(results: Mapping[str, Any], log: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Tokens read and the validation loss: before, along the way where it was measured, after each phase."""
    points, total = dict([(0, results["before"]["eval_loss"]), *_logged(results, log, "eval_loss")]), 0
    for phase in results["phases"]:
        total += phase["tokens"]
        points[total] = phase["eval_loss"]
    return [(tokens, loss) for tokens, loss in sorted(points.items()) if loss is not None]


def seconds_of(folder: Path) -> float | None:
    """How long a finished post-training or fine-tuning took, all its starts together; None if unknown."""
    try:
        seconds = Run(folder, writes=False).results().get("seconds") or {}
    except (OSError, XPTError):
        return None
    return sum(value for value in seconds.values() if value is not None)


# ---- stored ----------------------------------------------------------------------------------------------


def store(reached: Reached, path: Path) -> None:
    """Write one JSON of it all, a run a line, so that a repository shows what changed."""
    head = asdict(reached)
    runs: Sequence[dict[str, Any]] = head.pop("records")
    lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
    start = json.dumps({"format": FORMAT, **head}, ensure_ascii=False)
    write_text_atomically(path, f'{start[:-1]}, "records": [\n{lines}\n]}}\n')


def load(path: Path) -> Reached:
    """What `store` wrote. Raises `XPTError` for anything else."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT}")
        records = [Record(**run) for run in content.pop("records")]
        reached = Reached(**content, records=records)
        for record in records:
            if set(record.labels) != set(reached.axes):
                raise ValueError("a run has other axes")
        return reached
    except FileNotFoundError:
        raise XPTError(f"{path}: no such file") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise XPTError(f"{path}: not what `xpt study show --store` writes ({error})") from error
