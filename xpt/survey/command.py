"""The command line of `xpt models`.

xpt models --kind encoder --language ko --format markdown
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

from xpt.program.errors import XPTError
from xpt.program.formatting import LINE_WIDTH
from xpt.survey.models import KINDS, read_count, read_survey
from xpt.survey.names import find_model
from xpt.survey.selection import Selection
from xpt.survey.tables import FORMATS, in_full

INTRODUCTION = """\
Show Korean and multilingual pre-trained models, as a survey and what came since have them; each fact has a
source. A name with a Hub id stands for the model in xpt finetune --model_name_or_path NAME, too.

  xpt models                                  all, a line each
  xpt models klue-bert                        one in full, with sources
  xpt models --kind decoder --from_year 2021 --format csv"""


class _Parser(argparse.ArgumentParser):
    """Stands alone, unlike other commands' parsers, which import transformers: that takes seconds."""

    def error(self, message: str) -> NoReturn:
        raise XPTError(f"{message} (see --help)")


def _parameters(text: str) -> int:
    try:
        return read_count(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give one such as 350M or 1.3B") from None


def make_parser() -> argparse.ArgumentParser:
    """The parser behind `xpt models --help`."""
    parser = _Parser(
        prog="xpt models",
        usage="xpt models [NAME ...] [--OPTION VALUE ...]",
        description=INTRODUCTION,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=LINE_WIDTH),
        allow_abbrev=False,
    )
    parser.add_argument("models", nargs="*", metavar="NAME", help="Show these in full: names or Hub ids.")
    parser.add_argument("--name", metavar="PATTERN", help="Part of the name, or a pattern with * and ?.")
    parser.add_argument("--kind", choices=KINDS, help="How it reads.")
    parser.add_argument("--objective", metavar="NAME", help="MLM, NSP, SOP, RTD, NTP, DAE, ...")
    parser.add_argument("--language", metavar="CODE", help="ko, en or multilingual.")
    parser.add_argument("--from_year", type=int, metavar="YEAR", help="Not before this year.")
    parser.add_argument("--to_year", type=int, metavar="YEAR", help="Not after this year.")
    parser.add_argument("--max_parameters", type=_parameters, metavar="COUNT", help="At most so many: 350M.")
    parser.add_argument(
        "--format",
        choices=list(FORMATS),
        default="table",
        help="markdown cites the sources, csv has a line for each fact. Default: table.",
    )
    return parser


def _show(arguments: Sequence[str]) -> str:
    given = vars(make_parser().parse_args(arguments))
    names, shape = given.pop("models"), given.pop("format")
    if not names:
        found = Selection(**given).of(read_survey().models.values())
        if not found:
            raise XPTError("no model of the survey is so; leave out an option")
        return FORMATS[shape](found)
    if any(value is not None for value in given.values()):
        raise XPTError("models are named, or chosen by options: not both")
    chosen = [find_model(name) for name in names]
    return "\n\n".join(map(in_full, chosen)) if shape == "table" else FORMATS[shape](chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives back the exit code: 2 for what a user can fix."""
    try:
        print(_show(sys.argv[1:] if arguments is None else arguments), flush=True)
    except XPTError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `| head` has seen enough; without this Python would say so when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
