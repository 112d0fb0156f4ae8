"""The command line of `train_xpt.py` becomes a `Recipe`."""

import os
from collections.abc import Sequence
from pathlib import Path

from xpt.program.errors import XPTError
from xpt.program.options import OptionParser
from xpt.recipe.corpus import CorpusArguments
from xpt.recipe.phases import PhaseArguments
from xpt.recipe.recipe import Recipe
from xpt.recipe.source import SourceArguments
from xpt.recipe.tokenizer import TokenizerArguments
from xpt.recipe.training import XPTTrainingArguments

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


def make_parser() -> OptionParser:
    """The parser behind `train_xpt.py --help`."""
    return OptionParser(
        (SourceArguments, CorpusArguments, TokenizerArguments, PhaseArguments, XPTTrainingArguments),
        "train_xpt.py",
        INTRODUCTION,
        XPTTrainingArguments.refused,
        as_json=("phases",),
    )


def read_recipe(arguments: str | os.PathLike[str] | Sequence[str]) -> Recipe:
    """A recipe from YAML files and flags, as `xpt train` takes them.

    Args:
        arguments: one file, or a command line in words: files, names of methods, then flags. Later ones win.

    Raises:
        XPTError: in one line, for anything that cannot be used.

    Example:
        >>> recipe = xpt.read_recipe(["tiny.yaml", "--phase1_steps", "7"])
        >>> recipe.phases.phase1_steps, recipe.training.output_dir
        (7, 'output/tiny')
    """
    words = [os.fspath(arguments)] if isinstance(arguments, str | os.PathLike) else arguments
    given = make_parser().read(words, find_recipe, default_output="output/{}")
    recipe = Recipe(*given.parts)
    recipe.refuse_idle_flags(given.names)  # those too that say what is so anyway
    return recipe


def find_recipe(recipe: str) -> Path:
    """The file of a recipe: its path, or the bare name of a ready method. Raises `XPTError` for neither."""
    path, method = Path(recipe), METHODS / f"{recipe}.yaml"
    if path.is_file():
        return path
    if path.name == recipe and method.is_file():
        return method
    methods = ", ".join(sorted(file.stem for file in METHODS.glob("*.yaml")))
    raise XPTError(f"{recipe}: no such recipe; give a YAML file, or one of the methods {methods}")
