"""From settings to a corpus on disk: built once, kept whole or not at all, found again by what went in."""

import json
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xpt.corpus.near_duplicates import NearDuplicates
from xpt.corpus.readers import Document, read_documents
from xpt.corpus.report import describe_corpus, foreign_script
from xpt.corpus.scripts import count_characters, count_scripts
from xpt.corpus.select import Selection, select
from xpt.corpus.sentences import DocumentCleaner, Tally
from xpt.corpus.settings import SPLIT_NAMES, CorpusSettings, digest_json
from xpt.corpus.sources import TEXTS, FileSource, Source, find_sources
from xpt.corpus.store import REPORT_FILE, Corpus, write_report
from xpt.corpus.stream import HASH, RawFiles, write_raw, write_splits
from xpt.corpus.workers import available_workers, clean_documents
from xpt.errors import XPTError
from xpt.files import write_folder_atomically
from xpt.language import find_language

# Raised when cleaning or the layout on disk changes, so that corpora built before are built again.
BUILD_VERSION = 5


def build_corpus(
    settings: CorpusSettings, cache_dir: Path, progress: bool = True, workers: int | None = None
) -> Corpus:
    """Build the corpus under `cache_dir`, or open it where the same settings and inputs built it before.

    Inputs are told apart by path, size and modification time (files) or commit (Hub). `workers` processes
    clean the text (default: one a core); the result does not depend on them. Raises XPTError for inputs that
    are missing, damaged, not UTF-8, without the column or without a usable sentence; then nothing is left.
    """
    tallies = DocumentCleaner(settings).tallies
    inputs = find_inputs(settings)
    folder = cache_dir / f"corpus-{_cache_key(settings, inputs)[:16]}"
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        absent = _first_absent(cache_dir)
        try:
            with write_folder_atomically(folder) as staging:
                _build(settings, inputs, tallies, staging, progress, workers or available_workers())
        except BaseException:
            _remove_empty(cache_dir, absent)
            raise
    return Corpus(folder)


def find_inputs(settings: CorpusSettings) -> list[list[Source]]:
    """The files and datasets of each entry of `corpus`; one reached twice belongs to the first.

    Raises `XPTError` as `find_sources`, and for a weight on an entry that has nothing of its own.
    """
    inputs: list[list[Source]] = []
    seen: set[tuple] = set()
    for index, name in enumerate(settings.corpus):
        found = [source for source in find_sources((name,)) if source.identity not in seen]
        if not found and settings.corpus_weights is not None and settings.corpus_weights[index]:
            raise XPTError(
                f"corpus {name} has a weight, but all its files also stand in the entries before it: name "
                "each file in one entry"
            )
        inputs.append(found)
        seen.update(source.identity for source in found)
    return inputs


def _cache_key(settings: CorpusSettings, inputs: list[list[Source]]) -> str:
    tools = {
        "mwparserfromhell": version("mwparserfromhell"),
        "datasketch": version("datasketch") if settings.near_duplicates else None,
        "build": BUILD_VERSION,
        "sentencex": version("sentencex"),
        "unicode": unicodedata.unidata_version,
        "scripts": find_language(settings.language).scripts,
    }
    identities = [[source.identity for source in sources] for sources in inputs]
    return digest_json([tools, _effective(settings, inputs), identities])


def _effective(settings: CorpusSettings, inputs: list[list[Source]]) -> dict[str, Any]:
    """The settings as far as they change what is built.

    No threshold where nothing is compared with it, no column where no input is a table.
    """
    fields = asdict(settings)
    if all(isinstance(source, FileSource) and source.format in TEXTS for part in inputs for source in part):
        del fields["column"]
    if not settings.near_duplicates:
        del fields["near_duplicate_threshold"]
    return fields


def _is_whole(folder: Path) -> bool:
    """Whether a finished corpus stands there that opens, with every file at its recorded size."""
    try:
        sizes = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))["bytes"]
        corpus = Corpus(folder)
        for name in SPLIT_NAMES:
            corpus.split(name)
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except Exception:  # NumPy reads a header with Python's own parser, which refuses bytes in many ways
        return False


def _first_absent(folder: Path) -> Path | None:
    """The uppermost folder that would have to be created for `folder`."""
    absent = None
    while not folder.exists():
        absent, folder = folder, folder.parent
    return absent


def _remove_empty(folder: Path, absent: Path | None) -> None:
    """Remove `folder` and those above it up to `absent`, as far as nobody else put something there."""
    with suppress(OSError):
        while absent is not None and folder.is_relative_to(absent):
            folder.rmdir()
            folder = folder.parent


def _build(
    settings: CorpusSettings,
    inputs: list[list[Source]],
    tallies: list[Tally],
    folder: Path,
    progress: bool,
    workers: int,
) -> None:
    raw = RawFiles(folder)
    with closing(clean_documents(_read_all(settings, inputs, progress), settings, workers)) as chunks:
        documents = write_raw(chunks, settings.split_seed, raw, tallies)
    near = NearDuplicates(settings.near_duplicate_threshold) if settings.near_duplicates else None
    selection = _select(settings, raw, tallies, near, progress)
    refuse_empty(settings, selection, tallies, documents)
    splits = write_splits(selection.codes, raw, folder, progress)
    raw.remove()
    characters = count_characters(folder, {name: selection.kept(name) for name in SPLIT_NAMES})
    report = describe_corpus(settings, inputs, documents, tallies, selection, splits, characters)
    if near is not None:
        report["near_duplicates"] = near.report()
    # From the content, not from where it lay: moved or renamed inputs give the same fingerprint.
    fingerprint = digest_json(
        [settings.content_fields(), {name: splits[name].sha256 for name in SPLIT_NAMES}]
    )
    write_report(folder, fingerprint, report)


def _read_all(settings: CorpusSettings, inputs: list[list[Source]], progress: bool) -> Iterator[Document]:
    bar = tqdm(
        total=sum(source.size for sources in inputs for source in sources),
        desc="Reading the corpus",
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=None if progress else True,
    )
    with bar:
        for entry, sources in enumerate(inputs):
            for source in sources:
                for document in read_documents(source, settings.column, bar):
                    document.entry = entry
                    yield document


def _select(
    settings: CorpusSettings,
    raw: RawFiles,
    tallies: list[Tally],
    near: NearDuplicates | None,
    progress: bool,
) -> Selection:
    def thin(codes: np.ndarray) -> None:
        if near is not None:
            near.drop(codes, raw.text, np.fromfile(raw.lengths, np.uint32), progress)

    return select(
        np.fromfile(raw.hashes, HASH),
        raw.document_keys if settings.split_by == "document" else None,
        {name: settings.limit(name) for name in SPLIT_NAMES},
        [tally.sentences for tally in tallies],
        settings.shares,
        thin,
    )


def refuse_empty(
    settings: CorpusSettings, selection: Selection, tallies: list[Tally], documents: int
) -> None:
    if any(selection.kept("train")):
        return
    names = ", ".join(settings.corpus)
    if any(selection.available["train"]):  # only shares can drop them all
        of_entries = zip(settings.corpus, selection.available["train"], settings.shares or (), strict=True)
        empty = ", ".join(name for name, count, share in of_entries if share and not count)
        raise XPTError(
            f"corpus {empty} has a weight but no training sentence, so that no mixture has its share: give "
            "it more text, or the weight 0"
        )
    if any(map(any, selection.available.values())):
        raise XPTError(
            f"corpus {names} leaves no training sentence ({documents} documents, split by "
            f"{settings.split_by}): give more text, or set split_by to sentence"
        )
    dropped = sum((tally.dropped for tally in tallies), Counter[str]())
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "none"
    foreign = count_scripts(sum((tally.foreign for tally in tallies), Counter[str]()))
    raise XPTError(
        f"corpus {names} has no usable sentence ({sum(tally.lines for tally in tallies)} lines read; "
        f"dropped: {reasons}): "
        + (
            foreign_script(settings.language, foreign)
            or "check the files, column, language and min_characters"
        )
    )
