"""What a text becomes, to be looked at: the sentences that cleaning keeps, and what it drops and why.

Readers and cleaner are those of training. Nothing is held, so that `| head` is answered at once.
"""

import sys
from collections import Counter
from collections.abc import Iterator

from xpt.text.corpus.build import find_inputs, read_inputs
from xpt.text.corpus.folders import printable
from xpt.text.corpus.report import foreign_script, format_passed_over, format_remarks
from xpt.text.corpus.scripts import count_scripts
from xpt.text.corpus.sentences import DocumentCleaner, Tally
from xpt.text.corpus.settings import CorpusSettings


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
