"""Command line and YAML become a `Recipe`: recipe files, then flags; the later one wins.

YAML entries are read as if they were flags, so both are checked by the same parser and mean the same.
"""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from transformers import HfArgumentParser
from transformers.integrations import get_reporting_integration_callbacks

from xpt.errors import XPTError
from xpt.help import help_text
from xpt.recipe import (
    CorpusArguments,
    PhaseArguments,
    Recipe,
    SourceArguments,
    TokenizerArguments,
    XPTTrainingArguments,
)

METHODS = Path(__file__).with_name("methods")  # a link to configs/methods
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
    "hub_token": "is refused: a token on the command line is seen by others; use `hf auth login`",
    "push_to_hub": "is not supported yet; upload the finished folder with `hf upload`",
    "fsdp": "is not supported yet; use torchrun without it",
    "deepspeed": "is not supported yet; use torchrun without it",
}


class RecipeParser(HfArgumentParser):
    """Says what is wrong in one line instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise XPTError(f"{message} (see --help)")

    def format_help(self) -> str:
        return help_text(self, self.dataclass_types, hidden=REFUSED)

    def unknown(self, token: str) -> XPTError:
        """What to say of an option that does not exist."""
        flag = token.split("=")[0]
        near = difflib.get_close_matches(flag, list(self._option_string_actions), n=1)
        return XPTError(f"unknown option {flag}{f'; did you mean {near[0]}?' if near else ''} (see --help)")


def make_parser() -> RecipeParser:
    """The parser behind `train_xpt.py --help`."""
    parser = RecipeParser(
        (SourceArguments, CorpusArguments, TokenizerArguments, PhaseArguments, XPTTrainingArguments),
        prog="train_xpt.py",
        allow_abbrev=False,
    )
    parser.add_argument(
        "recipe",
        nargs="*",
        help="YAML files of the options below, the later one wins, and flags over all; or the bare name of a "
        "method in configs/methods.",
    )
    return parser


def read_recipe(arguments: Sequence[str]) -> Recipe:
    """Parse the command line. Raises `XPTError` with one line for anything that cannot be used."""
    parser = make_parser()
    files = _leading(arguments)
    from_files = [(path, _load_yaml(_find(path))) for path in files]
    flags = list(arguments[len(files) :])
    options: dict[str, list[str]] = {}
    for path, entries in from_files:
        _take(entries, path, options, parser)
    tokens = [token for option in options.values() for token in option] + flags
    _refuse(tokens)
    if "output_dir" not in {_name(token) for token in tokens}:
        tokens += ["--output_dir", f"output/{Path(files[-1]).stem if files else 'xpt'}"]
    try:
        *parts, misplaced, rest = parser.parse_args_into_dataclasses(
            args=tokens, look_for_args_file=False, return_remaining_strings=True
        )
    except (ValueError, ImportError) as error:
        raise XPTError(" ".join(str(error).split())) from error
    if rest:
        raise parser.unknown(rest[0])
    if misplaced.recipe:
        raise XPTError(f"{misplaced.recipe[0]} stands behind the options; name recipes first")
    source, corpus, tokenizer, phases, training = parts
    _check_trackers(training)
    recipe = Recipe(source, corpus, tokenizer, phases, training, _phase_list(phases.phases))
    for flag in recipe.idle_flags({*options, *map(_name, flags)}):
        phase, _, entry = flag.partition("_")
        raise XPTError(f"--{flag} has no effect: in `phases:` no {phase} leaves its {entry} to a flag")
    return recipe


def _leading(arguments: Sequence[str]) -> list[str]:
    files = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        files.append(argument)
    return files


def _find(recipe: str) -> Path:
    """The file of a recipe: its path, or the bare name of a ready method."""
    path, method = Path(recipe), METHODS / f"{recipe}.yaml"
    if path.is_file():
        return path
    if path.name == recipe and method.is_file():
        return method
    methods = ", ".join(sorted(file.stem for file in METHODS.glob("*.yaml")))
    raise XPTError(f"{recipe}: no such recipe; give a YAML file, or one of the methods {methods}")


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise XPTError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(entries, dict):
        raise XPTError(f"{path}: a recipe is a list of `name: value`")
    return entries


def _take(entries: dict[str, Any], origin: str, options: dict[str, list[str]], parser: RecipeParser) -> None:
    """Write `entries` into `options` as flags; a later entry replaces an earlier one, null takes it back."""
    known = {action.dest for action in parser._actions}
    for name, value in entries.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), sorted(known), n=1)
            raise XPTError(
                f"{origin}: unknown option {name!r}{f'; did you mean {near[0]!r}?' if near else ''}"
            )
        options.pop(name, None)
        if isinstance(value, dict) or (name == "phases" and value is not None):
            options[name] = [f"--{name}", json.dumps(value)]
        elif isinstance(value, list):
            options[name] = [f"--{name}", *map(str, value)]
        elif value is not None:
            options[name] = [f"--{name}", str(value)]


def _name(token: str) -> str:
    return token[2:].split("=")[0].replace("-", "_") if token.startswith("--") else ""


def _refuse(tokens: Sequence[str]) -> None:
    for token in tokens:
        if _name(token) in REFUSED:
            raise XPTError(f"--{_name(token)} {REFUSED[_name(token)]}")


def _check_trackers(training: XPTTrainingArguments) -> None:
    """Find a missing tracker before the first step, not after the text is prepared."""
    try:
        for callback in get_reporting_integration_callbacks(training.report_to):
            callback()
    except (ValueError, RuntimeError, ImportError) as error:
        raise XPTError(f"--report_to: {' '.join(str(error).split())}") from error


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
