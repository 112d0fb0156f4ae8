"""The command line of `train_xpt.py` becomes a `Recipe`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError
from xpt.program.options import OptionParser, check_trackers
from xpt.recipe.corpus import CorpusArguments
from xpt.recipe.phases import PhaseArguments
from xpt.recipe.recipe import Recipe
from xpt.recipe.source import SourceArguments
from xpt.recipe.tokenizer import TokenizerArguments
from xpt.recipe.training import XPTTrainingArguments
from xpt.training.arguments import HUB_REFUSED

METHODS = Path(__file__).with_name("methods")  # a link to configs/methods
INTRODUCTION = """\
Cross-lingual Post-Training: an English encoder and text in another language become an encoder of
that language.

  python train_xpt.py RECIPE.yaml ... --OPTION VALUE ...

  python train_xpt.py configs/demo.yaml                  a recipe; `make demo` fetches what it reads
  python train_xpt.py configs/demo.yaml --dry_run true   what it would do, without doing it
  python train_xpt.py --source_model_name_or_path FacebookAI/roberta-base --corpus my_text/ \\
      --language ko --output_dir output/mine

A recipe is a YAML file of these options (`name: value`). Later recipes override earlier ones, flags
override them all. The same command again goes on where a run stopped.

Where defaults come from: P21 is Lee et al. 2021 (the method), RE22 the Korean relation extraction
report of 2022, RoBERTa Liu et al. 2019; "stock" is transformers' default. Hub id: `org/name`."""
# Options of TrainingArguments that cannot be meant here, and why or what instead.
REFUSED = {
    "max_steps": "contradicts the phases; use --phase1_steps and --phase2_steps",
    "num_train_epochs": "contradicts the phases; use --phase1_steps and --phase2_steps",
    "resume_from_checkpoint": "is not needed: a run goes on from its --output_dir by itself",
    "load_best_model_at_end": "contradicts the phases, which end with their last step",
    "auto_find_batch_size": "would change what a step reads; use --per_device_train_batch_size",
    "train_sampling_strategy": "is not used: rows are shuffled by seed and epoch",
    "label_smoothing_factor": "is refused: losses would not compare with the baselines",
    "accelerator_config": "is refused: processes would read rows twice or never",
    "enable_jit_checkpoint": "is not needed: SIGTERM saves and stops by itself",
    "save_only_model": "is refused: an interrupted run could not go on",
    "ignore_data_skip": "is refused: a resumed run would read other rows",
    **HUB_REFUSED,
    "fsdp": "is asked for by the launcher; see configs/accelerate/fsdp2_1x8.yaml",
    "fsdp_config": "stands in the launcher's config file; see configs/accelerate/fsdp2_1x8.yaml",
    "deepspeed": "is not supported; FSDP2 does the same, see configs/accelerate/fsdp2_1x8.yaml",
}


def make_parser() -> OptionParser:
    """The parser behind `train_xpt.py --help`."""
    return OptionParser(
        (SourceArguments, CorpusArguments, TokenizerArguments, PhaseArguments, XPTTrainingArguments),
        "train_xpt.py",
        INTRODUCTION,
        REFUSED,
        as_json=("phases",),
    )


def read_recipe(arguments: Sequence[str]) -> Recipe:
    """Parse the command line. Raises `XPTError` with one line for anything that cannot be used."""
    given = make_parser().read(arguments, _find, default_output="output/{}")
    source, corpus, tokenizer, phases, training = given.parts
    check_trackers(training)
    recipe = Recipe(source, corpus, tokenizer, phases, training, _phase_list(phases.phases))
    for flag in recipe.idle_flags(given.names):
        phase, _, entry = flag.partition("_")
        raise XPTError(f"--{flag} has no effect: in `phases:` no {phase} leaves its {entry} to a flag")
    return recipe


def _find(recipe: str) -> Path:
    """The file of a recipe: its path, or the bare name of a ready method."""
    path, method = Path(recipe), METHODS / f"{recipe}.yaml"
    if path.is_file():
        return path
    if path.name == recipe and method.is_file():
        return method
    methods = ", ".join(sorted(file.stem for file in METHODS.glob("*.yaml")))
    raise XPTError(f"{recipe}: no such recipe; give a YAML file, or one of the methods {methods}")


def _phase_list(text: str | None) -> list[dict[str, Any]] | None:
    if text is None:
        return None
    try:
        phases = json.loads(text)
    except json.JSONDecodeError as error:
        raise XPTError(f"--phases is not JSON: {error}") from error
    if not isinstance(phases, list) or not all(isinstance(phase, dict) for phase in phases):
        raise XPTError("phases: give a list of phases, each with name, train, steps, learning_rate")
    return phases
