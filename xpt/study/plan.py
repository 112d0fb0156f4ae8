"""The runs of a study: of each a checked command line, and a folder named by what decides its result."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.finetune.klue.command import make_parser as make_finetune_parser
from xpt.finetune.klue.command import read_plan
from xpt.program.errors import XPTError
from xpt.program.help import grouped_options
from xpt.recipe.command_line import find_recipe, make_parser, read_recipe
from xpt.recipe.recipe import Recipe
from xpt.recipe.training_check import check_training
from xpt.run.folder import HARDWARE_SETTINGS, result_settings
from xpt.study.settings import SEED, Labels, Part, Study

# What the queue decides itself; a recipe's own is left out, in a study it is refused.
OWN = ("output_dir", "dry_run", "push_to_hub", "hub_model_id", "hub_private_repo")
OWN_TUNING = (*OWN, "model_name_or_path", "model_revision")
HASH_LENGTH = 16
# Options that came later, with what leaves a run as it was: runs made before keep their names.
LATER: dict[str, Any] = {"learning_rates": None, "whole_word_masking": False}


@dataclass(frozen=True)
class Step:
    """One process: a post-training or a fine-tuning.

    Args:
        kind: "train", or which measure it is of.
        title: how it is called.
        words: what follows `xpt`.
        folder: of its result; finished when results.json stands there.
        lock: the folder whose lock it holds while it works.
        log: what it prints.
    """

    kind: str
    title: str
    words: tuple[str, ...]
    folder: Path
    lock: Path
    log: Path

    @property
    def finished(self) -> bool:
        return (self.folder / "results.json").exists()


@dataclass(frozen=True)
class PlannedRun:
    """One run: where it stands on each axis, its seed, what decides its result, and what is to be done."""

    labels: Labels
    seed: int
    settings: dict[str, Any]
    key: str
    tokens: int  # that it reads at most
    train: Step
    tunings: tuple[Step, ...]

    @property
    def row(self) -> Labels:
        """Where it stands but for the seed."""
        return {axis: label for axis, label in self.labels.items() if axis != SEED}

    @property
    def steps(self) -> tuple[Step, ...]:
        return (self.train, *self.tunings)


def plan_runs(study: Study) -> list[PlannedRun]:
    """Every run, all options read as `xpt train` and `xpt finetune` read them.

    Raises `XPTError`, in one line, for the first one that they would refuse, and for two equal ones.
    """
    runs: dict[str, PlannedRun] = {}
    for labels in study.combinations():
        try:
            run = _plan(study, labels)
        except XPTError as error:
            raise XPTError(f"{_title(labels)}: {error}") from error
        if run.key in runs:
            raise XPTError(f"{_title(labels)} and {_title(runs[run.key].labels)} are the same run; drop one")
        runs[run.key] = run
    return list(runs.values())


def _plan(study: Study, labels: Labels) -> PlannedRun:
    parts = [*study.base, *(part for axis, label in labels.items() for part in study.axes[axis][label])]
    options = collect(parts)
    recipe = _read(options)
    if study.tokens is not None:
        options |= steps_for(recipe, study.tokens)
        recipe = _read(options)
    if not (recipe.corpus.corpus or recipe.corpus.corpus_shards):
        raise XPTError("no text: give corpus with files, folders or a Hub data set")
    if not recipe.source.source_model_name_or_path:
        raise XPTError("no source: give source_model_name_or_path, a Hub id or folder")
    phases = recipe.planned_phases()
    check_training(recipe.training, phases)
    settings = deciding_settings(recipe, options)
    key = _hash(settings)
    folder = study.output / "runs" / key
    model, title = folder / "model", _title(labels)
    rows = sum(phase.steps for phase in phases) * recipe.training.rows_per_step
    return PlannedRun(
        labels=labels,
        seed=recipe.training.seed,
        settings=settings,
        key=key,
        tokens=rows * recipe.phases.max_seq_length,
        train=_step("train", "train", title, folder, model, ["train", *_words(options)]),
        tunings=tuple(
            step
            for name, measured in study.measure.items()
            for step in _tunings(name, measured, title, folder, model)
        ),
    )


def collect(parts: Iterable[Part]) -> dict[str, list[str]]:
    """Files and options laid over each other, as flags by the option's name; the later one wins."""
    parser = make_parser()
    options: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, str):
            entries, origin = parser.load(find_recipe(part)), part
            entries = {name: value for name, value in entries.items() if name not in OWN}
        else:
            entries, origin = part, "study"
            _refuse_own(entries, OWN)
        parser.take(entries, origin, options)
    return options


def _refuse_own(entries: Collection[str], own: Collection[str]) -> None:
    found = [name for name in entries if name in own]
    if found:
        raise XPTError(f"{found[0]} is not for studies: every run has a folder of its own")


def _read(options: Mapping[str, Sequence[str]]) -> Recipe:
    return read_recipe(_words(options))


def _words(options: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for option in options.values() for word in option]


def steps_for(recipe: Recipe, tokens: int) -> dict[str, list[str]]:
    """Flags by which the phases, in the recipe's proportion, read about `tokens`.

    Packed sequences count as full, so that a little less is read: how much is padding only the text knows.
    Raises `XPTError` where they are not packed, and where a phase would have no step.
    """
    if not recipe.phases.packing:
        raise XPTError("budget: tokens needs --packing true; give steps instead")
    planned = sum(phase.steps for phase in recipe.planned_phases())
    share = tokens / (recipe.training.rows_per_step * recipe.phases.max_seq_length) / planned
    flags: dict[str, list[str]] = {}
    listed = recipe.phase_list
    scaled = [{**phase, **_scaled(phase, share)} for phase in listed or ()]
    if listed is not None:
        flags["phases"] = ["--phases", json.dumps(scaled)]
    for name in ("phase1", "phase2"):
        steps = getattr(recipe.phases, f"{name}_steps")
        taken = listed is None or any(p.get("name") == name and "steps" not in p for p in listed)
        if taken and steps:
            flags[f"{name}_steps"] = [f"--{name}_steps", str(_at_least_one(steps * share, name))]
    return flags


def _scaled(phase: Mapping[str, Any], share: float) -> dict[str, int]:
    if "steps" not in phase:
        return {}
    return {"steps": _at_least_one(int(phase["steps"]) * share, str(phase.get("name")))}


def _at_least_one(steps: float, phase: str) -> int:
    if round(steps) < 1:
        raise XPTError(f"budget: {phase} would have no step; give more tokens")
    return round(steps)


def deciding_settings(recipe: Recipe, given: Collection[str]) -> dict[str, Any]:
    """What decides a run's result, by name.

    That is every option of ours but those that only say where and when files are written; of transformers'
    own and of what follows from the machine what is `given`, so that a newer version or another machine
    makes no other run of it.
    """
    ours = {name for names in grouped_options(make_parser().dataclass_types)[0].values() for name in names}
    counted = (ours - set(HARDWARE_SETTINGS)) | set(given)
    settings = result_settings(recipe.settings())
    unused = {name for name, value in LATER.items() if settings[name] == value}
    return {name: settings[name] for name in sorted(settings) if name in counted - unused}


def _hash(settings: Any) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:HASH_LENGTH]


def _tunings(name: str, measured: Mapping[str, Any], title: str, folder: Path, model: Path) -> list[Step]:
    """A process for each task and seed of one measure."""
    _refuse_own(measured, OWN_TUNING)
    options: dict[str, list[str]] = {}
    make_finetune_parser().take(dict(measured), f"measure {name}", options)
    flags = ["--model_name_or_path", str(model)]
    try:
        jobs = read_plan([*_words(options), *flags]).jobs
    except XPTError as error:
        raise XPTError(f"measure {name}: {error}") from error
    for varied in ("task", "seeds", "seed"):
        options.pop(varied, None)
    steps = []
    for job in jobs:
        words = [*_words(options), "--task", job.task, "--seed", str(job.seed)]
        short = f"{job.task}-seed-{job.seed}-{_hash(words)[:8]}"
        called = f"{title}, {name} seed {job.seed}"
        steps.append(_step(name, short, called, folder, folder / short, ["finetune", *words, *flags]))
    return steps


def _step(kind: str, short: str, title: str, folder: Path, result: Path, words: Sequence[str]) -> Step:
    return Step(
        kind=kind,
        title=title,
        words=(*words, "--output_dir", str(result)),
        folder=result,
        lock=folder / "locks" / short,
        log=folder / "logs" / f"{short}.txt",
    )


def _title(labels: Labels) -> str:
    return ", ".join(f"{axis} {label}" for axis, label in labels.items())
