"""Look at what a text becomes: the sentences that cleaning keeps, and what it drops and why.

    python -m xpt.corpus.show wiki/ news.jsonl --language ko --dropped true

Readers and cleaner are those of training. Nothing is held, so that `| head` is answered at once.
"""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xpt.corpus.build import find_inputs, read_inputs
from xpt.corpus.folders import printable
from xpt.corpus.report import foreign_script, format_passed_over, format_remarks
from xpt.corpus.scripts import count_scripts
from xpt.corpus.sentences import DocumentCleaner, Tally
from xpt.corpus.settings import CorpusSettings
from xpt.errors import XPTError
from xpt.options import OptionParser, leading, option
from xpt.program import run_program
from xpt.recipe import CorpusArguments

INTRODUCTION = """\
Show what a text becomes: the sentences that cleaning keeps, one a line, in the order of the text; on stderr
what it dropped and why.

  python -m xpt.corpus.show FILES ... [--language ko] [--dropped true] | less

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


def show(settings: CorpusSettings, dropped: bool) -> None:
    """Print the sentences of a corpus as they are read, then the counts of each entry on stderr.

    Raises `XPTError` as `build_corpus` does for what cannot be read.
    """
    inputs, passed_over = find_inputs(settings)
    cleaner = DocumentCleaner(settings, _print_dropped if dropped else None)
    characters = [Counter[str]() for _ in settings.corpus]
    for document in read_inputs(settings, inputs, progress=False):
        for sentence in cleaner.sentences(document):
            sys.stdout.write(f"{sentence}\n")
            characters[document.entry].update(sentence)
    sys.stdout.flush()
    for name, tally, kinds, kept in zip(
        settings.corpus, cleaner.tallies, passed_over, characters, strict=True
    ):
        for line in describe(printable(name), tally, kinds, kept, settings.language):
            print(line, file=sys.stderr)


def describe(
    name: str, tally: Tally, passed_over: Counter[str], characters: Counter[str], language: str
) -> Iterator[str]:
    """What cleaning made of an entry, in a few lines; `characters` are those of the sentences it kept."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(tally.dropped.items()))
    yield f"{name}: {tally.lines:,} lines, {tally.sentences:,} sentences; dropped: {reasons or 'nothing'}"
    if passed_over:
        yield f"  files passed over: {format_passed_over(dict(passed_over.most_common()))}"
    yield from (f"warning: {remark}" for remark in format_remarks(tally.remarks))
    if foreign := foreign_script(language, count_scripts(characters + tally.foreign)):
        yield f"warning: corpus {name}: {foreign}"


def _print_dropped(reason: str, text: str) -> None:
    sys.stdout.flush()  # so that both stand in the order of the documents where they share a terminal
    print(f"{reason}\t{text}", file=sys.stderr)


def _show(arguments: Sequence[str]) -> str:
    files = leading(arguments)
    flags = [*(["--corpus", *files] if files else []), *arguments[len(files) :]]
    parser = OptionParser(
        (CorpusArguments, ShowArguments), "python -m xpt.corpus.show", INTRODUCTION, REFUSED
    )
    if sum(flag.split("=")[0] == "--corpus" for flag in flags) > 1:
        raise XPTError("files stand before the options and behind --corpus: name all in one place")
    corpus, given = parser.read(flags, Path).parts
    if not corpus.corpus:
        raise XPTError("no text: name files, folders or a Hub data set (see --help)")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as the corpus is, whatever the terminal believes
    try:
        show(corpus.settings(), given.dropped)
    except BrokenPipeError:  # `| head` has seen enough; without this Python would say so when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives back the exit code of `run_program`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return run_program(lambda stop: _show(given), when_stopped="nothing was written")


if __name__ == "__main__":
    sys.exit(main())
