"""What a study would take: runs, tokens, hours on this machine and disk, before they are spent."""

from dataclasses import dataclass
from pathlib import Path

from xpt.program.files import free_bytes
from xpt.program.formatting import duration, short_count, short_size
from xpt.program.interrupts import StopRequest
from xpt.recipe.command_line import read_recipe
from xpt.run.dry_run import disk_bytes
from xpt.run.folder import Run
from xpt.run.probe import probe_evaluation
from xpt.run.summary import line
from xpt.study.measures import seconds_of
from xpt.study.pace import measured_with, probed
from xpt.study.plan import PlannedRun, plan_runs
from xpt.study.settings import Study
from xpt.training.training_state import SMALL_FILES_BYTES


@dataclass(frozen=True)
class Cost:
    """Of one run: seconds in training and in measuring, and bytes of its folder while it trains and after."""

    training: float
    measuring: float
    most: int
    end: int


def estimate_study(study: Study, jobs: int, threads: int | None, stop: StopRequest) -> str:
    """Lines of text. A few real steps of the first run are measured, unless runs are finished.

    Training of the others is taken to last as long for a token, and measuring as long in all.
    """
    runs = plan_runs(study, measured_with(threads, jobs, stop))
    left = [run for run in runs if not run.train.finished]
    lines = [
        f"estimate of {study.name}",
        line("runs", f"{len(runs)}, of which {len(runs) - len(left)} are finished"),
        line("tokens", f"{short_count(sum(run.tokens for run in left))} to be read, at most"),
    ]
    if left:
        cost, origin = _known_cost(runs) or (_probed_cost(left[0], stop), "a few steps of the first run")
        first = _reference(runs) or left[0]
        seconds = sum(cost.training * run.tokens / first.tokens + cost.measuring for run in left)
        at_once = f"; {duration(seconds / jobs)} if {jobs} at once are as fast" if jobs > 1 else ""
        lines.append(line("time", f"about {duration(seconds)} one after the other{at_once}, from {origin}"))
        need = (len(left) - jobs) * cost.end + jobs * cost.most if len(left) > jobs else len(left) * cost.most
        free = free_bytes(study.output)
        short = " - NOT ENOUGH" if free < need else ""
        lines.append(line("disk", f"about {short_size(need)}; {short_size(free)} free{short}"))
    tunings = [step for run in runs for step in run.tunings]
    if tunings:
        lines.append(line("fine-tunings", _describe_tunings(tunings)))
    return "\n".join(lines)


def _describe_tunings(tunings: list) -> str:
    done = [step for step in tunings if step.finished]
    said = f"{len(tunings)}, of which {len(done)} are finished"
    taken = [seconds for step in done if (seconds := seconds_of(step.folder)) is not None]
    if not taken:
        return f"{said}; their time and disk are not in the estimate"
    left = (len(tunings) - len(done)) * sum(taken) / len(taken)
    return f"{said}; the others about {duration(left)}, which comes on top"


def _reference(runs: list[PlannedRun]) -> PlannedRun | None:
    return next((run for run in runs if run.train.finished and seconds_of(run.train.folder)), None)


def _known_cost(runs: list[PlannedRun]) -> tuple[Cost, str] | None:
    """From the first finished run; None where there is none."""
    run = _reference(runs)
    if run is None:
        return None
    results = Run(run.train.folder, writes=False).results()
    trained = sum(results["seconds"].get(phase["name"], 0.0) for phase in results["phases"])
    size = sum(file.stat().st_size for file in Path(run.train.folder).rglob("*") if file.is_file())
    measuring = sum(results["seconds"].values()) - trained
    return Cost(trained, measuring, 2 * size, size), "a finished run"


def _probed_cost(run: PlannedRun, stop: StopRequest) -> Cost:
    """From a few real steps; nothing is written but prepared text into the cache."""
    recipe = read_recipe(run.train.words[1:])
    training, plans = probed(recipe, stop)
    measuring = (1 + len(plans)) * probe_evaluation(training, "validation")
    measuring += probe_evaluation(training, "test")
    weights = sum(tensor.nbytes for tensor in training.model.parameters()) + SMALL_FILES_BYTES
    kept = len(recipe.training.keep_at or ())
    most, end = disk_bytes(plans, weights, recipe.training.save_total_limit, kept)
    return Cost(sum(plan.seconds for plan in plans), measuring, most, end)
