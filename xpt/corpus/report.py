"""The report of a built corpus: what each entry of `corpus` gave, in which scripts, and what to look at.

It is stored beside the text, goes into `results.json`, and is printed when a run starts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from xpt.corpus.folders import printable
from xpt.corpus.inputs import FileSource, Source
from xpt.corpus.scripts import count_scripts
from xpt.corpus.select import Selection
from xpt.corpus.sentences import Tally
from xpt.corpus.settings import SPLIT_NAMES, CorpusSettings
from xpt.corpus.stream import WrittenSplit
from xpt.language import find_language

# Rarer scripts are single names and quotations.
_LEAST_SHARE = 0.0005
_REMARKS_SHOWN = 5
_KINDS_SHOWN = 8


def describe_corpus(
    settings: CorpusSettings,
    inputs: list[list[Source]],
    documents: int,
    tallies: list[Tally],
    selection: Selection,
    splits: Mapping[str, WrittenSplit],
    characters: Iterable[dict[str, Counter[str]]],
) -> dict[str, Any]:
    """The report, in plain JSON types; `inputs`, `tallies` and `characters` (by split) are of each entry."""
    entries: list[dict[str, Any]] = []
    warnings: list[str] = []
    dropped, scripts = Counter[str](), Counter[str]()
    kept = {name: selection.kept(name) for name in SPLIT_NAMES}
    for index, of_splits in enumerate(characters):
        found = count_scripts(sum(of_splits.values(), Counter()))
        entry: dict[str, Any] = {
            "name": _entry_name(settings.corpus[index], inputs[index]),
            "weight": settings.corpus_weights and settings.corpus_weights[index],
            "files": len(inputs[index]),
            "lines": tallies[index].lines,
            "dropped": _describe_dropped(tallies[index], selection, index),
            "splits": _describe_entry_splits(selection, index, kept, of_splits),
            "scripts": _shares(found),
        }
        entries.append(entry)
        warnings += format_remarks(tallies[index].remarks)
        warnings += _warnings(entry, found + count_scripts(tallies[index].foreign), settings.language)
        dropped.update(entry["dropped"])
        scripts.update(found)
    return {
        "inputs": [_describe_source(source) for sources in inputs for source in sources],
        "files": sum(map(len, inputs)),
        "documents": documents,
        "lines": sum(tally.lines for tally in tallies),
        "sentences": sum(split.sentences for split in splits.values()),
        "dropped": dict(dropped),
        "splits": {name: _describe_split(settings, selection, name, splits[name]) for name in SPLIT_NAMES},
        "scripts": _shares(scripts),
        "entries": entries,
        "warnings": warnings,
    }


def describe_passed_over(report: dict[str, Any], passed_over: list[Counter[str]]) -> None:
    """Add to a report what stands in the folders and globs of each entry and was not read: files by kind."""
    for entry, kinds in zip(report["entries"], passed_over, strict=True):
        entry["passed_over"] = dict(kinds.most_common())


def _describe_source(source: Source) -> dict[str, Any]:
    if isinstance(source, FileSource):
        return {"file": printable(source.path.name), "bytes": source.size}
    return {"dataset": source.dataset, "config": source.config, "revision": source.revision}


def _describe_split(
    settings: CorpusSettings, selection: Selection, name: str, split: WrittenSplit
) -> dict[str, Any]:
    limit = settings.limit(name)
    return {
        "sentences": split.sentences,
        "characters": split.characters,
        "sha256": split.sha256,
        "available": sum(selection.available[name]),
        "wanted": limit,
        "shortfall": max(0, (limit or 0) - split.sentences),
    }


def _entry_name(name: str, sources: list[Source]) -> str:
    """An entry without the folders above it, which are the user's own affair."""
    return printable(Path(name).name) if all(isinstance(source, FileSource) for source in sources) else name


def _describe_dropped(tally: Tally, selection: Selection, index: int) -> dict[str, int]:
    return {
        **dict(sorted(tally.dropped.items())),
        "duplicate": int(selection.duplicates[index]),
        "held_out_seen_in_training": int(selection.leaked[index]),
        **({"near_duplicate": near} if (near := int(selection.near_duplicates[index])) else {}),
    }


def _describe_entry_splits(
    selection: Selection, index: int, kept: dict[str, list[int]], characters: dict[str, Counter[str]]
) -> dict[str, dict[str, int]]:
    splits = {
        name: {
            "sentences": kept[name][index],
            "characters": characters[name].total(),
            "available": selection.available[name][index],
        }
        for name in SPLIT_NAMES
    }
    if selection.wanted is not None:
        wanted = selection.wanted[index]
        splits["train"] |= {"wanted": wanted, "shortfall": max(0, wanted - kept["train"][index])}
    return splits


def _shares(scripts: Counter[str]) -> dict[str, float]:
    """The share of each script among the letters, the largest first."""
    letters = scripts.total()
    common = [(name, count / letters) for name, count in scripts.most_common()]
    return {name: round(share, 4) for name, share in common if share >= _LEAST_SHARE}


def _warnings(entry: dict[str, Any], scripts: Counter[str], language: str) -> Iterator[str]:
    if said := foreign_script(language, scripts):
        yield f"corpus {entry['name']}: {said}"
    train = entry["splits"]["train"]
    if train.get("shortfall"):
        yield (
            f"corpus {entry['name']} gives {train['sentences']:,} of the {train['wanted']:,} training "
            "sentences of its share: lower train_sentences, or leave it out to have the shares hold"
        )


def foreign_script(language: str, scripts: Counter[str]) -> str | None:
    """What to say where most letters are of a script that the language is not written in; else None.

    `scripts` must count the sentences that were dropped for their script too: of a foreign text, little else
    is left.
    """
    declared = find_language(language)
    if not scripts or not declared.scripts:
        return None
    name, count = scripts.most_common(1)[0]
    if name in declared.scripts or count <= sum(scripts[own] for own in declared.scripts):
        return None
    return (
        f"{count / scripts.total():.0%} of the letters are {name}, but {declared.name} is written in "
        f"{' and '.join(declared.scripts)}: give the language of the text instead of {declared.tag}, with "
        "its script where that is not the usual one (sr-Latn)"
    )


def format_remarks(remarks: list[str]) -> list[str]:
    """What files gave reason to say, the first few and how many more."""
    more = len(remarks) - _REMARKS_SHOWN
    return [*remarks[:_REMARKS_SHOWN], *([f"and the like of {more:,} more files"] if more > 0 else [])]


def format_passed_over(kinds: Mapping[str, int]) -> str:
    """Kinds of files with their counts, the most frequent ones."""
    shown = [f"{count:,} {kind}" for kind, count in list(kinds.items())[:_KINDS_SHOWN]]
    rest = sum(list(kinds.values())[_KINDS_SHOWN:])
    return ", ".join([*shown, *([f"{rest:,} others"] if rest else [])])


def format_corpus_report(report: Mapping[str, Any]) -> str:
    """A few lines on what each entry gave, for the start of a run."""
    lines = []
    for entry in report["entries"]:
        train = entry["splits"]["train"]
        weight = "" if entry["weight"] is None else f", weight {entry['weight']:g}"
        lines.append(
            f"  {entry['name']}{weight}: {train['sentences']:,} of {train['available']:,} training "
            f"sentences, {train['characters']:,} characters"
        )
        reasons = [f"{count:,} {reason}" for reason, count in entry["dropped"].items() if count]
        scripts = [f"{share:.1%} {name}" for name, share in list(entry["scripts"].items())[:3]]
        lines.append(
            f"    letters: {', '.join(scripts) or 'none'}; dropped: {', '.join(reasons) or 'nothing'}"
        )
        if kinds := entry.get("passed_over"):
            lines.append(f"    files passed over: {format_passed_over(kinds)}")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in report["warnings"])])
