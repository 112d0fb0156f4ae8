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
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import wait_for_everyone

from xpt.cards.card import render_card
from xpt.program.environment import describe_call, describe_command
from xpt.program.errors import XPTError
from xpt.program.interrupts import StopRequest
from xpt.program.processes import first_on_machine_first
from xpt.program.script import run_program, working
from xpt.recipe.command_line import read_recipe
from xpt.recipe.recipe import Recipe
from xpt.recipe.training_check import check_training
from xpt.release.publishing import Publisher
from xpt.run.dry_run import check_dry_run, nothing_to_do, rehearse
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining, load_initial
from xpt.run.preparation import check_source, prepare_model, prepare_text
from xpt.run.summary import summarize
from xpt.transplant.source import open_source


def post_train(recipe: Recipe, command: str | None = None, stop: StopRequest | None = None) -> Run:
    """The method (Lee et al. 2021), from recipe to the finished folder of a run.

    Called again with an equal recipe, a run goes on where it stopped; finished, it is given back. Interrupted
    (Ctrl-C, a notebook's stop button, SIGTERM), it ends its step and saves.

    Args:
        recipe: what is trained on what.
        command: what results say was typed; without, the call with all that is not the default's.
        stop: who listens to signals; without, this function does until it ends, in the main thread.

    Returns:
        The run: `folder` has the model, `results()` every loss, `read_log()` the logged steps.

    Raises:
        XPTError: for anything the user can fix, before anything is written.

    Example:
        >>> recipe = xpt.Recipe(
        ...     source=xpt.SourceArguments("tiny-roberta"),
        ...     corpus=xpt.CorpusArguments("wiki.txt", language="ko"),
        ...     tokenizer=xpt.TokenizerArguments(vocab_size=300),
        ...     phases=xpt.PhaseArguments(phase1_steps=2, phase2_steps=2, max_seq_length=32),
        ...     training=xpt.XPTTrainingArguments(output_dir="output/new", per_device_train_batch_size=4),
        ... )
        >>> run = xpt.post_train(recipe)
        >>> [phase["steps"] for phase in run.results()["phases"]]
        [2, 2]
        >>> sorted(file.name for file in run.folder.glob("*.safetensors"))
        ['model.safetensors']
        >>> from transformers import pipeline
        >>> fill = pipeline("fill-mask", model="output/new", trust_remote_code=True)
        >>> len(fill(f"국회는 오늘 {fill.tokenizer.mask_token} 검토하였다."))
        5
    """
    if recipe.training.dry_run:
        raise XPTError("--dry_run trains nothing; leave it out, or call xpt.dry_run(recipe)")
    writes = recipe.training.should_save
    publisher = Publisher.of(recipe.training) if writes else None
    with working(stop) as stop, Run(_folder(recipe), writes, regroups=True) as run:
        run.check_settings(recipe.settings(), recipe.chosen_names())
        if run.finished:
            run.tidy()
            if publisher:
                publisher.publish(run.folder, run.results()["phases"][-1]["name"])
            return run

        check_training(recipe.training, recipe.planned_phases())  # found before the text is read
        unfinished = [phase.name for phase in recipe.planned_phases() if phase.name not in run.progress()]
        published = publisher.check(unfinished) if publisher else ()
        start = time.perf_counter()
        training, origin = prepare(recipe, run, stop)
        run.start(recipe.settings(), {**training.text.fingerprints, "source": origin["sha256"]})
        training.start(time.perf_counter() - start)
        for index in range(len(training.phases)):
            training.run_phase(index)
            phase = training.phases[index]  # which may have ended early
            if publisher and phase is not training.phases[-1] and phase.name not in published:
                publisher.publish(run.checkpoints.path(phase.name, phase.steps), phase.name)
        command = command or describe_call("xpt.post_train", recipe)
        training.finish(origin, command, partial(render_card, attribution=recipe.corpus.attribution))
        if publisher:
            publisher.publish(run.folder, training.phases[-1].name)
        wait_for_everyone()  # a process that ends early takes the others down
        return run


def prepare(recipe: Recipe, run: Run, stop: StopRequest) -> tuple[PostTraining, dict[str, Any]]:
    """The run at step 0, and what is to be known of its source, which is let go: it is copied by then."""
    with first_on_machine_first(recipe.training.device):
        source = open_source(recipe.source.source_model_name_or_path, recipe.source.source_revision)
        check_source(recipe, source)
        text = prepare_text(recipe, source)
        model, report = load_initial(run) or prepare_model(recipe, source, text)
    phases = recipe.planned_phases(report)
    return PostTraining(recipe, run, model, report, text, phases, stop), source.describe()


def dry_run(recipe: Recipe, stop: StopRequest | None = None) -> str:
    """What `post_train` would do: counts, memory, disk, and time from a few steps.

    Nothing is written but prepared text into the cache.

    Args:
        recipe: what would be trained on what.
        stop: who listens to signals; as in `post_train`.

    Returns:
        Lines of text.

    Raises:
        XPTError: for what `post_train` would refuse.

    Example:
        >>> told = xpt.dry_run(xpt.read_recipe("tiny.yaml"))
        >>> told.splitlines()[1].strip()
        'dry run of output/tiny: nothing is written there'
    """
    with working(stop) as stop, Run(_folder(recipe), writes=False, regroups=True) as run:
        check_dry_run(recipe)
        run.check_settings(recipe.settings())
        if run.finished:
            return nothing_to_do(run)
        check_training(recipe.training, recipe.planned_phases())
        return rehearse(prepare(recipe, run, stop)[0])


def _folder(recipe: Recipe) -> Path:
    return Path(str(recipe.training.output_dir))


def main(arguments: Sequence[str] | None = None, called: str = "train_xpt.py") -> int:
    """Run the command line, noted in results under the name `called`; gives back the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)

    def work(stop: StopRequest) -> str:
        recipe = read_recipe(given)
        if recipe.training.dry_run:
            return dry_run(recipe, stop)
        run = post_train(recipe, describe_command(called, given), stop)
        return summarize(run) if run.writes else ""

    return run_program(work)


if __name__ == "__main__":
    sys.exit(main())
