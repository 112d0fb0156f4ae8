"""Cross-lingual Post-Training: an English encoder and text in another language become an encoder of it.

    python train_xpt.py configs/demo.yaml
    python train_xpt.py configs/methods/xpt_2021.yaml configs/xpt_ko_4m.yaml --seed 1
    python train_xpt.py --source_model_name_or_path FacebookAI/roberta-base --corpus wiki.txt

    python train_xpt.py configs/demo.yaml --dry_run true

Started again with the same options, a run goes on where it stopped; finished, it prints its result.
`--help` lists every option with the reason for its default.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from accelerate.utils import wait_for_everyone

from xpt.cards.card import render_card
from xpt.program.environment import describe_command
from xpt.program.interrupts import StopRequest
from xpt.program.processes import first_on_machine_first
from xpt.program.script import run_program
from xpt.recipe.command_line import read_recipe
from xpt.recipe.recipe import Recipe
from xpt.recipe.training_check import check_training
from xpt.release.publishing import Publisher
from xpt.run.dry_run import check_dry_run, dry_run, nothing_to_do
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining, load_initial
from xpt.run.preparation import check_source, prepare_model, prepare_text
from xpt.run.summary import summarize
from xpt.transplant.source import open_source


def post_train(recipe: Recipe, command: str, stop: StopRequest) -> str:
    """The method, from recipe to run folder; gives back the summary that is printed.

    Raises `XPTError` for anything the user can mend, before anything is written.
    """
    dry = recipe.training.dry_run
    writes = recipe.training.should_save and not dry
    publisher = Publisher.of(recipe.training) if writes else None
    with closing(Run(Path(str(recipe.training.output_dir)), writes, regroups=True)) as run:
        if dry:
            check_dry_run(recipe)
        run.check_settings(recipe.settings())
        if run.finished:
            run.tidy()
            if dry:
                return nothing_to_do(run)
            if publisher:
                publisher.publish(run.folder, run.results()["phases"][-1]["name"])
            return summarize(run) if writes else ""

        check_training(recipe.training, recipe.planned_phases())  # found before the text is read
        unfinished = [phase.name for phase in recipe.planned_phases() if phase.name not in run.progress()]
        published = publisher.check(unfinished) if publisher else ()
        start = time.perf_counter()
        with first_on_machine_first(recipe.training.device):
            source = open_source(recipe.source.source_model_name_or_path, recipe.source.source_revision)
            check_source(recipe, source)
            text = prepare_text(recipe, source)
            model, report = load_initial(run) or prepare_model(recipe, source, text)
        origin = source.describe()
        del source  # copied by now: training has room for one of them
        preparation_seconds = time.perf_counter() - start
        phases = recipe.planned_phases(report)
        training = PostTraining(recipe, run, model, report, text, phases, stop)
        if dry:
            return dry_run(training)

        run.start(recipe.settings(), {**text.fingerprints, "source": origin["sha256"]})
        training.start(preparation_seconds)
        for index, phase in enumerate(phases):
            training.run_phase(index)
            if publisher and phase is not phases[-1] and phase.name not in published:
                publisher.publish(run.checkpoints.path(phase.name, phase.steps), phase.name)
        training.finish(origin, command, partial(render_card, attribution=recipe.corpus.attribution))
        if publisher:
            publisher.publish(run.folder, phases[-1].name)
        wait_for_everyone()  # a process that ends early takes the others down
        return summarize(run) if writes else ""


def main(arguments: Sequence[str] | None = None, called: str = "train_xpt.py") -> int:
    """Run the command line, noted in results under the name `called`; gives back the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = describe_command(called, given)
    return run_program(lambda stop: post_train(read_recipe(given), command, stop))


if __name__ == "__main__":
    sys.exit(main())
