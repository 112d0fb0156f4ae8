"""Which test items stand in a training text: a stream of text against an index of the items.

Texts are compared as their letters and digits alone, without case: Korean is spaced and punctuated in many
ways, and no two tokenizers agree about its words, so that n-grams of words would miss a copy. Each text of an
item is cut into blocks of `BLOCK` such characters, and every position of the training text is looked up:
whatever the two share in a run of 2 x `BLOCK` - 1 has a whole block in it. A text is found where `ENOUGH` of
its blocks are; shorter ones than a block must be there whole, and ones below `LEAST` are too common to tell.
The index is all that is held: about a kilobyte an item.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from xpt.evaluate.arguments import ItemArguments, OverlapArguments
from xpt.evaluate.items import owner_of, premise_of
from xpt.finetune.kobest.copa import COPA
from xpt.finetune.split import Split
from xpt.program.files import check_writable, write_json_atomically
from xpt.program.formatting import clip
from xpt.text.corpus.build import find_inputs, read_inputs
from xpt.text.corpus.documents import Document
from xpt.text.corpus.settings import CorpusSettings

LEAST = 12  # letters and digits: below stand phrases that anybody writes
BLOCK = 25
ENOUGH = 0.8
NO_TEXT = ("guid", "label")  # fields of examples
PLACES = 3  # lines that are named for each item
_OTHER = re.compile(r"[\W_]+")


def letters(text: str) -> str:
    """A text's letters and digits, composed (NFKC) and without case."""
    return _OTHER.sub("", unicodedata.normalize("NFKC", text).casefold())


@dataclass
class ItemText:
    """One text of an item, and which of its blocks were found."""

    blocks: tuple[str, ...]
    found: set[int] = field(default_factory=set)

    @property
    def share(self) -> float:
        """Of the blocks, those that were found."""
        return len(self.found) / len(self.blocks)


@dataclass
class Item:
    """A test item: its texts that are long enough, and lines of the training text that hold a block."""

    task: str
    guid: str
    texts: list[ItemText]
    lines: list[tuple[str, int, str]] = field(default_factory=list)  # entry, line, its text

    @property
    def copied(self) -> int:
        """Texts of it that stand in the training text."""
        return sum(text.share >= ENOUGH for text in self.texts)

    @property
    def touched(self) -> bool:
        """Whether as much as a block of it does."""
        return any(text.found for text in self.texts)


class ItemIndex:
    """All blocks of all items by their first `LEAST` characters."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.too_short = 0  # items without a text that is long enough
        self._blocks: dict[str, list[tuple[str, Item, ItemText, int]]] = defaultdict(list)

    def add(self, task: str, guid: str, texts: Iterable[str]) -> None:
        """Take in an item, given by its texts."""
        kept = [ItemText(_blocks(text)) for text in dict.fromkeys(map(letters, texts)) if len(text) >= LEAST]
        if not kept:
            self.too_short += 1
            return
        item = Item(task, guid, kept)
        self.items.append(item)
        for text in kept:
            for place, block in enumerate(text.blocks):
                self._blocks[block[:LEAST]].append((block, item, text, place))

    def look_up(self, line: str, entry: str, number: int) -> None:
        """Note what a line of the training text holds of the items."""
        seen, blocks = letters(line), self._blocks
        starts = [at for at in range(len(seen) - LEAST + 1) if seen[at : at + LEAST] in blocks]
        for at in starts:
            for block, item, text, place in blocks[seen[at : at + LEAST]]:
                if seen.startswith(block, at):
                    text.found.add(place)
                    known = any((entry, number) == shown[:2] for shown in item.lines)
                    if not known and len(item.lines) < PLACES:
                        item.lines.append((entry, number, line.strip()))


def _blocks(text: str) -> tuple[str, ...]:
    """Blocks of a text of letters, side by side; the last one ends where the text does."""
    starts = dict.fromkeys([*range(0, len(text) - BLOCK, BLOCK), max(0, len(text) - BLOCK)])
    return tuple(text[start : start + BLOCK] for start in starts)


def texts_of(value: Any) -> Iterator[str]:
    """All text of an example, at any depth, apart from its name and label."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for entry in fields(value):
            if entry.name not in NO_TEXT:
                yield from texts_of(getattr(value, entry.name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_of(one)


def search(splits: dict[str, Split], corpus: CorpusSettings) -> ItemIndex:
    """Read the whole text past the items of all splits, given by task."""
    index = ItemIndex()
    for task, split in splits.items():
        for example in split.examples:
            own = replace(example, context=premise_of(example)[0]) if task == COPA.name else example
            index.add(task, example.guid, texts_of(own))
    inputs, _ = find_inputs(corpus)
    numbers = [0] * len(corpus.corpus)
    documents: Iterator[Document] = read_inputs(corpus, inputs, progress=True)
    for document in documents:
        for line in document.lines:
            numbers[document.entry] += 1
            index.look_up(line, corpus.corpus[document.entry], numbers[document.entry])
    return index


def report_overlap(items: ItemArguments, overlap: OverlapArguments, folder: Path) -> tuple[str, int]:
    """Search, write `overlap.json`, and say what was found.

    Returns:
        a table in Markdown, and how many items stand in the text.
    """
    corpus = CorpusSettings(
        corpus=tuple(overlap.check_overlap or ()), column=overlap.corpus_column, language="und"
    )
    find_inputs(corpus)  # a text that is not there is told before items are fetched
    check_writable(folder, "--output_dir")
    splits: dict[str, Split] = {}
    for name in items.names():
        task = owner_of(name).make_task(name)
        splits[name] = items.source.read(task, task.scored_on, items.max_test_examples)
    index = search(splits, corpus)
    copied = [item for item in index.items if item.copied]
    write_json_atomically(
        folder / "overlap.json",
        {
            "kind": "overlap",
            "texts": list(corpus.corpus),
            "rule": {"least": LEAST, "block": BLOCK, "enough": ENOUGH},
            "too_short": index.too_short,
            "data": {name: split.describe() for name, split in splits.items()},
            "items": [_described(item) for item in index.items if item.touched],
        },
    )
    return _table(splits, index, folder), len(copied)


def _described(item: Item) -> dict[str, Any]:
    return {
        "task": item.task,
        "guid": item.guid,
        "texts": len(item.texts),
        "copied": item.copied,
        "shares": [round(text.share, 3) for text in item.texts],
        "lines": [{"text": entry, "line": number, "holds": line} for entry, number, line in item.lines],
    }


def _table(splits: dict[str, Split], index: ItemIndex, folder: Path) -> str:
    lines = [
        "| task | items | whole item found | a text of it found | only a part |",
        "|-|-|-|-|-|",
    ]
    for name, split in splits.items():
        own = [item for item in index.items if item.task == name]
        whole = sum(item.copied == len(item.texts) for item in own)
        some = sum(0 < item.copied < len(item.texts) for item in own)
        part = sum(item.touched and not item.copied for item in own)
        lines.append(f"| {name} | {len(split.examples):,} | {whole:,} | {some:,} | {part:,} |")
    found = [item for item in index.items if item.copied]
    shown = _shown(sorted(found, key=lambda item: item.copied < len(item.texts)))
    notes = [f"{index.too_short:,} items have no text of {LEAST} letters, and were not looked for."]
    notes.append(f"{folder / 'overlap.json'} has every item and its lines.")
    return "\n\n".join(filter(None, ["\n".join(lines), "\n".join(shown), " ".join(notes)]))


def _shown(items: Sequence[Item], most: int = 10) -> list[str]:
    lines = []
    for item in items[:most]:
        entry, number, line = item.lines[0]
        lines.append(f"{item.guid}: {entry}, line {number:,} with text: {clip(line, 60)}")
    if len(items) > most:
        lines.append(f"... and {len(items) - most:,} more")
    return lines
