"""The runs of a study: of each a checked command line, and a folder named by what decides its result."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.finetune.command import make_parser as make_finetune_parser
from xpt.finetune.command import read_plan
from xpt.program.errors import XPTError
from xpt.program.help import grouped_options
from xpt.recipe.command_line import find_recipe, make_parser, read_recipe
from xpt.recipe.recipe import Recipe
from xpt.recipe.training_check import check_training
from xpt.run.folder import HARDWARE_SETTINGS, Run, result_settings
from xpt.study.budget import share_of_steps, steps_for_tokens
from xpt.study.pace import Paces, Probe
from xpt.study.settings import SEED, Labels, Part, Study
from xpt.training.along import kept_steps

# What the queue decides itself; a recipe's own is left out, in a study it is refused.
OWN = ("output_dir", "dry_run", "push_to_hub", "hub_model_id", "hub_private_repo")
OWN_TUNING = (*OWN, "model_name_or_path", "model_revision")
HASH_LENGTH = 16
# Options that came later, with what leaves a run as it was: runs made before keep their names.
LATER: dict[str, Any] = {
    "architecture": "xpt",
    "keep_at": None,
    "learning_rates": None,
    "tokenizer_morphemes": None,
    "whole_word_masking": False,
}


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
        at: the step of the run whose model is fine-tuned; None for its end, and for the run itself.
    """

    kind: str
    title: str
    words: tuple[str, ...]
    folder: Path
    lock: Path
    log: Path
    at: int | None = None

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


def plan_runs(study: Study, probe: Probe | None = None) -> list[PlannedRun]:
    """Every run, all options read as `xpt train` and `xpt finetune` read them.

    Args:
        study: what is varied.
        probe: measures speeds that a budget of minutes needs and nobody has measured.

    Raises `XPTError`, in one line, for the first one that they would refuse, and for two equal ones.
    """
    if study.budget.minutes:  # mistakes are found before speeds are measured
        _plan_all(study, lambda key, recipe: 60 * float(study.budget.minutes or 0))
    paces = Paces(study.output / "paces.json")
    return _plan_all(study, lambda key, recipe: paces.seconds(key, recipe, probe))


def _plan_all(study: Study, seconds: Callable[[str, Recipe], float]) -> list[PlannedRun]:
    runs: dict[str, PlannedRun] = {}
    for labels in study.combinations():
        try:
            run = _plan(study, labels, seconds)
        except XPTError as error:
            raise XPTError(f"{_title(labels)}: {error}") from error
        if run.key in runs:
            raise XPTError(f"{_title(labels)} and {_title(runs[run.key].labels)} are the same run; drop one")
        runs[run.key] = run
    return list(runs.values())


def _plan(study: Study, labels: Labels, seconds: Callable[[str, Recipe], float]) -> PlannedRun:
    parts = [*study.base, *(part for axis, label in labels.items() for part in study.axes[axis][label])]
    options = collect(parts)
    recipe = _read(options)
    _require_text_and_source(recipe)
    options |= study.budget.until_flags(recipe, "lr_scheduler_type" in options)
    recipe = _read(options)
    if study.budget.tokens is not None:
        options |= steps_for_tokens(recipe, study.budget.tokens)
    elif study.budget.minutes is not None:
        same = {name: v for name, v in deciding_settings(recipe, options).items() if name != SEED}
        folder = study.output / "runs" / _hash(same)  # of no run: nothing is begun there
        timed = _read({**options, "output_dir": ["--output_dir", str(folder)]})
        options |= share_of_steps(recipe, 60 * study.budget.minutes / seconds(folder.name, timed))
    shares = {*(recipe.training.keep_at or ()), *(one for at in study.along.values() for one in at)}
    if shares:
        options["keep_at"] = ["--keep_at", *map(str, sorted(shares))]
    recipe = _read(options)
    phases = recipe.planned_phases()
    check_training(recipe.training, phases)
    settings = deciding_settings(recipe, options)
    key = _hash(settings)
    folder = study.output / "runs" / key
    model, title = folder / "model", _title(labels)
    steps = sum(phase.steps for phase in phases)
    return PlannedRun(
        labels=labels,
        seed=recipe.training.seed,
        settings=settings,
        key=key,
        tokens=steps * recipe.training.rows_per_step * recipe.phases.max_seq_length,
        train=_step("train", "train", title, folder, model, ["train", *_words(options)]),
        tunings=tuple(
            step
            for name, measured in study.measure.items()
            for at in (*kept_steps(study.along.get(name, ()), steps), None)
            for step in _tunings(name, measured, title, folder, at)
        ),
    )


def _require_text_and_source(recipe: Recipe) -> None:
    if not (recipe.corpus.corpus or recipe.corpus.corpus_shards):
        raise XPTError("no text: give corpus with files, folders or a Hub data set")
    if not recipe.source.source_model_name_or_path:
        raise XPTError("no source: give source_model_name_or_path, a Hub id or folder")


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


def _tunings(name: str, measured: Mapping[str, Any], title: str, folder: Path, at: int | None) -> list[Step]:
    """A process for each task and seed of one measure, of the model after step `at` of the run."""
    _refuse_own(measured, OWN_TUNING)
    options: dict[str, list[str]] = {}
    make_finetune_parser().take(dict(measured), f"measure {name}", options)
    run = Run(folder / "model", writes=False)
    flags = ["--model_name_or_path", str(run.folder if at is None else run.kept(at))]
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
        if at is not None:
            short, called = f"{short}-step-{at}", f"{called}, after step {at}"
        steps.append(_step(name, short, called, folder, folder / short, ["finetune", *words, *flags], at))
    return steps


def _step(
    kind: str, short: str, title: str, folder: Path, result: Path, words: Sequence[str], at: int | None = None
) -> Step:
    return Step(
        kind=kind,
        title=title,
        words=(*words, "--output_dir", str(result)),
        folder=result,
        lock=folder / "locks" / short,
        log=folder / "logs" / f"{short}.txt",
        at=at,
    )


def _title(labels: Labels) -> str:
    return ", ".join(f"{axis} {label}" for axis, label in labels.items())
