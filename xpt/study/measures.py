"""What each run has reached, as plain values: for the table, and to be stored when folders are gone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError
from xpt.program.files import write_text_atomically
from xpt.run.folder import Run
from xpt.study.plan import PlannedRun, plan_runs
from xpt.study.settings import SEED, Labels, Study

LOSS = "loss/token"
LOSSES = {LOSS: None, "loss/character": "characters", "loss/byte": "bytes"}
FORMAT = 1
MOST_POINTS = 100  # of a stored curve


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
    """

    name: str
    axes: dict[str, list[str]]
    first: Labels
    planned: int
    records: list[Record]

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
    return Reached(study.name, axes, study.first, len(runs), records)


def _record(run: PlannedRun) -> Record:
    folder = Run(run.train.folder, writes=False)
    results = folder.results()
    try:
        return Record(
            labels=run.row,
            seed=run.seed,
            key=run.key,
            command=results["command"],
            figures={**_losses(results), **_scores(run)},
            tokens=sum(phase["tokens"] for phase in results["phases"]),
            seconds=round(sum(results["seconds"].values()), 1),
            curve=_curve(results, folder.read_log()),
            evaluated=_evaluated(results),
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


def _scores(run: PlannedRun) -> dict[str, float | None]:
    """The mean of each metric over the fine-tunings of this run; None until all of them are finished."""
    found: dict[str, list[float | None]] = {}
    kinds: dict[str, set[str]] = {}
    for step in run.tunings:
        metrics = Run(step.folder, writes=False).results()["metrics"] if step.finished else {}
        kinds.setdefault(step.kind, set()).update(metrics)
        for name, value in metrics.items():
            found.setdefault(_metric(step.kind, name), []).append(value)
    wanted = {kind: sum(step.kind == kind for step in run.tunings) for kind in kinds}
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


def _curve(results: Mapping[str, Any], log: Iterable[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """Tokens read and the training loss of the steps before; every so many where there are too many."""
    starts, total = {}, 0
    for phase in results["phases"]:
        starts[phase["name"]] = (total, phase["tokens"] / phase["steps"])
        total += phase["tokens"]
    points = [
        (round(starts[entry["phase"]][0] + entry["step"] * starts[entry["phase"]][1]), entry["loss"])
        for entry in log
        if entry.get("loss") is not None and entry["phase"] in starts
    ]
    every = -(-len(points) // MOST_POINTS) or 1
    return [(tokens, round(loss, 4)) for tokens, loss in points[::-every][::-1]]


def _evaluated(results: Mapping[str, Any]) -> list[tuple[int, float]]:
    points, total = [(0, results["before"]["eval_loss"])], 0
    for phase in results["phases"]:
        total += phase["tokens"]
        points.append((total, phase["eval_loss"]))
    return [(tokens, loss) for tokens, loss in points if loss is not None]


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
