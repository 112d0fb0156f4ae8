"""The front door: `xpt train`, `xpt finetune` and what else there is to do, each in a module of its own.

Nothing is imported before it is known what is wanted, so that help comes at once.
"""

import difflib
import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from xpt.program.completion import SHELLS
from xpt.program.help_cache import cached_help


@dataclass(frozen=True)
class Command:
    """What follows `xpt`.

    Args:
        module: whose `main` takes the arguments behind it.
        summary: what it does, in a line.
        called: what results note as its name; None where they note none.
        options: the module of its options, where that is another.
    """

    module: str
    summary: str
    called: str | None = None
    options: str = ""

    def make_parser(self) -> ArgumentParser:
        """Its options."""
        parser: ArgumentParser = importlib.import_module(self.options or self.module).make_parser()
        return parser


COMMANDS = {
    "train": Command(
        "train_xpt",
        "Post-train an English encoder on text in another language.",
        "xpt train",
        "xpt.recipe.command_line",
    ),
    "finetune": Command(
        "finetune_klue",
        "Fine-tune any model on KLUE or KoBEST, and score it.",
        "xpt finetune",
        "xpt.finetune.command",
    ),
    "evaluate": Command(
        "xpt.evaluate.command", "Score language models without training; find test items in a text."
    ),
    "score": Command("xpt.finetune.score", "Score predictions as the benchmark does."),
    "compare": Command("xpt.finetune.compare", "One table and one picture of many fine-tunings."),
    "study": Command("xpt.study.command", "Train many runs, seeds and all, and show one table and figure."),
    "models": Command("xpt.survey.command", "Korean and multilingual models, each fact with its source."),
    "text": Command("xpt.recipe.text", "Show what a text becomes: sentences kept, and what is dropped."),
    "shards": Command("xpt.recipe.shards", "Prepare text too big for one disk."),
    "native": Command("xpt.release.native", "Export a checkpoint as a stock RoBERTa, or import one."),
    "push": Command("xpt.release.hub", "Publish a model on the Hub, and check what others get."),
}
COMPLETION = "completion"
USAGE = """\
xpt: Cross-lingual Post-Training, a pre-trained English encoder becomes one of another language.

  xpt COMMAND ...         xpt COMMAND --help lists its options

{commands}
  {completion:<12}Print a script that completes commands and options: {shells}.

  xpt --version

Start with: xpt train --source_model_name_or_path FacebookAI/roberta-base --corpus my_text/ --language ko"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line names; gives back the exit code: 2 where it names nothing that there is."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    name, *rest = given or ["--help"]
    if name in ("-h", "--help", "help"):
        lines = [f"  {name:<12}{command.summary}" for name, command in COMMANDS.items()]
        print(USAGE.format(commands="\n".join(lines), completion=COMPLETION, shells=", ".join(SHELLS)))
        return 0
    if name == "--version":
        print(f"xpt {version('xpt')}")
        return 0
    if name == COMPLETION:
        return _print_completion(rest)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        print(
            f"error: no command {name!r:.40}{f'; did you mean {near[0]}?' if near else ''} (see xpt --help)",
            file=sys.stderr,
        )
        return 2
    command = COMMANDS[name]
    if rest in (["-h"], ["--help"]):
        print(cached_help(name, lambda: command.make_parser().format_help()), end="")
        return 0
    run = importlib.import_module(command.module).main
    return run(rest, command.called) if command.called else run(rest)


def _print_completion(rest: Sequence[str]) -> int:
    if len(rest) != 1 or rest[0] not in SHELLS:
        print(f"error: name one shell: xpt {COMPLETION} {'|'.join(SHELLS)}", file=sys.stderr)
        return 2
    from xpt.program.completion import completion_script

    parsers = {name: (command.make_parser(), command.summary) for name, command in COMMANDS.items()}
    print(completion_script(rest[0], parsers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
