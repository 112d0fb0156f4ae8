"""The command line that shows what a text becomes.

xpt text wiki/ news.jsonl --language ko --dropped true
"""

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xpt.program.errors import XPTError
from xpt.program.options import OptionParser, leading
from xpt.program.script import main_of
from xpt.program.settings import option
from xpt.recipe.corpus import CorpusArguments
from xpt.text.corpus.show import show

INTRODUCTION = """\
Show what a text becomes: the sentences that cleaning keeps, one a line, in the order of the text; on stderr
what it dropped and why.

  xpt text FILES ... [--language ko] [--dropped true] | less

Files, folders, globs and Hub data sets are read and cleaned as train_xpt.py does it. Training then keeps
repeated sentences once, splits and shuffles; that takes the whole text, while here a sentence is shown as
soon as it is read."""
_OF_THE_WHOLE = "has no effect here: repetitions, splits and shares are decided on the whole text"
REFUSED = {
    "corpus_shards": "names text that was cleaned before; give the files that the shards were made of",
    "shard_cache_gb": "is for training",
    "attribution": "is for training",
} | dict.fromkeys(
    (
        "corpus_weights",
        "split_by",
        "split_seed",
        "train_sentences",
        "validation_sentences",
        "test_sentences",
        "near_duplicates",
        "near_duplicate_threshold",
    ),
    _OF_THE_WHOLE,
)


@dataclass
class ShowArguments:
    """What is shown."""

    dropped: bool = option(
        False, "Print on stderr each line and sentence that is dropped, too, behind the reason and a tab."
    )


def make_parser() -> OptionParser:
    """The parser behind `xpt text --help`."""
    return OptionParser((CorpusArguments, ShowArguments), "xpt text", INTRODUCTION, REFUSED)


def _show(arguments: Sequence[str]) -> str:
    files = leading(arguments)
    flags = [*(["--corpus", *files] if files else []), *arguments[len(files) :]]
    if sum(flag.split("=")[0] == "--corpus" for flag in flags) > 1:
        raise XPTError("files stand before the options and behind --corpus: name all in one place")
    corpus, given = make_parser().read(flags, Path).parts
    if not corpus.corpus:
        raise XPTError("no text: name files, folders or a Hub data set (see --help)")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the corpus is, whatever the terminal believes
    try:
        show(corpus.settings(), given.dropped)
    except BrokenPipeError:  # `| head` has seen enough; without this Python would say so when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ""


main = main_of(_show, when_stopped="nothing was written")
