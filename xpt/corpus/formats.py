"""What a file's name tells: its format, its packing, and why it is none of ours.

Passed over in folders, though one could read it: `.md`, which beside a text is a README or a card that
describes it, and whose marks would be read as words.
"""

import re
from pathlib import Path

FORMATS = (".txt", ".jsonl", ".parquet", ".csv", ".tsv", ".xml")
COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
# One object or many, on one line each or over many: its content decides, see `guesses`.
JSON = ".json"
_OTHER_NAMES = {".text": ".txt", ".ndjson": ".jsonl", ".jsonlines": ".jsonl", JSON: JSON}
_ARCHIVES = (".7z", ".zip", ".rar", ".tar", ".tgz")
# WikiExtractor names its output files so, without an extension.
_WIKI_EXTRACTOR_NAME = re.compile(r"wiki_\d+")
# A dump in parts has the numbers of a part's first and last page behind the extension.
_DUMP_PART_NAME = re.compile(r".*\.xml-p\d+p\d+", re.IGNORECASE)
# Stands beside a dump of many streams: offsets and titles, no text.
_DUMP_INDEX_NAME = re.compile(r".*-multistream-index\d*\.txt.*")


def file_format(path: Path) -> str | None:
    """The format by the file's name (".txt", ..., or JSON), without its compression; None if it has none."""
    name = _unpacked(path)
    if _DUMP_INDEX_NAME.fullmatch(name.name):
        return None
    if _WIKI_EXTRACTOR_NAME.fullmatch(name.name):
        return ".txt"
    if _DUMP_PART_NAME.fullmatch(name.name):
        return ".xml"
    suffix = name.suffix.lower()
    return suffix if suffix in FORMATS else _OTHER_NAMES.get(suffix)


def kind_of(path: Path) -> str:
    """What a report calls a file that is passed over."""
    if _DUMP_INDEX_NAME.fullmatch(path.name):
        return "index of a dump"
    name = _unpacked(path)
    if name.suffix.lower() == JSON:
        return ".json (not one object a line)"
    packing = path.suffix.lower() if name != path else ""
    if name.suffix.lower() in _ARCHIVES:
        return f"{name.suffix.lower()}{packing} (to be unpacked)"
    return f"{name.suffix.lower()}{packing}" or "without extension"


def why_unknown(path: Path) -> str:
    """What to say of a file without a format that a user named: what is wrong with it, and the way out."""
    if _DUMP_INDEX_NAME.fullmatch(path.name):
        return "is the index of a dump and holds no text: name the .xml.bz2 beside it"
    suffix = _unpacked(path).suffix.lower()
    if suffix == ".7z":
        return "is an archive: unpack it with 7z x, or take the .bz2 of the same dump"
    if suffix in _ARCHIVES:
        return "is an archive: unpack it first"
    return f"has an unknown extension: use {known_extensions()}"


def known_extensions() -> str:
    """The formats, as messages name them."""
    return f"{' '.join(FORMATS)}, plain or {' '.join(COMPRESSIONS)}"


def _unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
