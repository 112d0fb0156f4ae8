"""From settings to a corpus on disk: built once, kept whole or not at all, found again by what went in."""

import json
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from xpt.corpus.folders import printable
from xpt.corpus.near_duplicates import NearDuplicates
from xpt.corpus.readers import Document, read_documents
from xpt.corpus.select import Selection, select
from xpt.corpus.sentences import DocumentCleaner
from xpt.corpus.settings import SPLIT_NAMES, CorpusSettings, digest_json
from xpt.corpus.sources import FileSource, Source, find_sources
from xpt.corpus.store import REPORT_FILE, Corpus
from xpt.corpus.stream import RawFiles, WrittenSplit, write_raw, write_splits
from xpt.errors import XPTError
from xpt.files import write_folder_atomically

# Raised when cleaning or the layout on disk changes, so that corpora built before are built again.
BUILD_VERSION = 4


def build_corpus(settings: CorpusSettings, cache_dir: Path, progress: bool = True) -> Corpus:
    """Build the corpus under `cache_dir`, or open it where the same settings and inputs built it before.

    Inputs are told apart by path, size and modification time (files) or commit (Hub). Raises XPTError for
    inputs that are missing, damaged, not UTF-8, without the column or without a usable sentence; then nothing
    is left.
    """
    cleaner = DocumentCleaner(settings)
    sources = find_sources(settings.corpus)
    folder = cache_dir / f"corpus-{_cache_key(settings, sources)[:16]}"
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        absent = _first_absent(cache_dir)
        try:
            with write_folder_atomically(folder) as staging:
                _build(settings, sources, cleaner, staging, progress)
        except BaseException:
            _remove_empty(cache_dir, absent)
            raise
    return Corpus(folder)


def _cache_key(settings: CorpusSettings, sources: list[Source]) -> str:
    tools = {
        "mwparserfromhell": version("mwparserfromhell"),
        "datasketch": version("datasketch") if settings.near_duplicates else None,
        "build": BUILD_VERSION,
        "sentencex": version("sentencex"),
        "unicode": unicodedata.unidata_version,
    }
    return digest_json([tools, asdict(settings), [source.identity for source in sources]])


def _is_whole(folder: Path) -> bool:
    """Whether a finished corpus stands there with every file at its recorded size."""
    try:
        sizes = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))["bytes"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
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
    settings: CorpusSettings, sources: list[Source], cleaner: DocumentCleaner, folder: Path, progress: bool
) -> None:
    raw = RawFiles(folder)
    documents = write_raw(_read_all(settings, sources, progress), cleaner.sentences, settings.split_seed, raw)
    near = NearDuplicates(settings.near_duplicate_threshold) if settings.near_duplicates else None
    selection = _select(settings, raw, near, progress)
    _refuse_empty(settings, selection, cleaner, documents)
    splits = write_splits(selection.codes, raw, folder, progress)
    raw.remove()
    dropped = dict(sorted(cleaner.dropped.items()))
    dropped["duplicate"] = selection.duplicates
    dropped["held_out_seen_in_training"] = selection.leaked
    report = {
        "inputs": [_describe(source) for source in sources],
        "files": len(sources),
        "documents": documents,
        "lines": cleaner.lines,
        "sentences": sum(split.sentences for split in splits.values()),
        "dropped": dropped,
        "splits": {name: _describe_split(settings, selection, name, splits[name]) for name in SPLIT_NAMES},
    }
    if near is not None:
        report["near_duplicates"] = near.report()
    # From the content, not from where it lay: moved or renamed inputs give the same fingerprint.
    fingerprint = digest_json(
        [settings.content_fields(), {name: splits[name].sha256 for name in SPLIT_NAMES}]
    )
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    stored = {"fingerprint": fingerprint, "report": report, "bytes": sizes}
    (folder / REPORT_FILE).write_text(
        json.dumps(stored, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )


def _read_all(settings: CorpusSettings, sources: list[Source], progress: bool) -> Iterator[Document]:
    bar = tqdm(
        total=sum(source.size for source in sources),
        desc="Reading the corpus",
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=not progress,
    )
    with bar:
        for source in sources:
            yield from read_documents(source, settings.column, bar)


def _select(
    settings: CorpusSettings, raw: RawFiles, near: NearDuplicates | None, progress: bool
) -> Selection:
    def thin(codes: np.ndarray) -> None:
        if near is not None:
            near.drop(codes, raw.text, np.fromfile(raw.lengths, np.uint32), progress)

    limits = {name: settings.limit(name) for name in SPLIT_NAMES}
    document_keys = raw.document_keys if settings.split_by == "document" else None
    return select(np.fromfile(raw.hashes, np.uint64), document_keys, limits, thin)


def _refuse_empty(
    settings: CorpusSettings, selection: Selection, cleaner: DocumentCleaner, documents: int
) -> None:
    if selection.available["train"]:
        return
    inputs = ", ".join(settings.corpus)
    if not any(selection.available.values()):
        reasons = (
            ", ".join(f"{count} {reason}" for reason, count in sorted(cleaner.dropped.items())) or "none"
        )
        raise XPTError(
            f"corpus {inputs} has no usable sentence ({cleaner.lines} lines read; dropped: {reasons}): "
            "check the files, column, language and min_characters"
        )
    raise XPTError(
        f"corpus {inputs} leaves no training sentence ({documents} documents, split by {settings.split_by}): "
        "give more text, or set split_by to sentence"
    )


def _describe(source: Source) -> dict[str, Any]:
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
        "available": selection.available[name],
        "wanted": limit,
        "shortfall": max(0, (limit or 0) - split.sentences),
    }
