"""A task's examples, from official files or the Hub, in one form; and what a result must say of them.

Everything is read and checked before training: a file that is malformed, or holds one example twice, is an
error that names file, line or guid. A part of a split is fine, and is called so.
"""

import hashlib
import json
import lzma
import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xpt.finetune.split import Split
from xpt.finetune.task import Task
from xpt.program.errors import XPTError

SPLITS = ("train", "validation")
FILE_SPLITS = {"train": "train", "validation": "dev"}  # as the official files call them
VERSION = "v1.1"


def make_split(
    task: Task, name: str, examples: Sequence[Any], origin: str, revision: str | None = None
) -> Split:
    """Check examples as a whole. Raises `XPTError` where there is none, or one stands twice."""
    if not examples:
        raise XPTError(f"{origin}: holds no examples of {task.name}")
    seen: set[Any] = set()
    for example in examples:
        if example.key in seen:
            raise XPTError(f"{origin}: {' turn '.join(map(str, example.key))} stands in it twice")
        seen.add(example.key)
    split = Split(
        name,
        list(examples),
        origin,
        revision,
        task.sizes[name],
        content_sha256(examples),
    )
    return replace(split, warnings=tuple(version_warnings(task, split)))


def content_sha256(examples: Sequence[Any]) -> str:
    """A hash of what examples hold, not of the file that they came from."""
    digest = hashlib.sha256()
    for example in examples:
        line = json.dumps(asdict(example), ensure_ascii=False, sort_keys=True)
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def version_warnings(task: Task, split: Split) -> list[str]:
    """What tells that data are not those of release v1.1, which changed NER, DP and MRC.

    A name that says another version; for NER text that is not NFKC (as v1 was).
    """
    found = []
    named = re.search(r"-v(\d+(?:\.\d+)*)[_.-]", Path(split.origin).name)
    if named and f"v{named[1]}" != VERSION:
        found.append(f"{split.origin}: is of v{named[1]}, and scores are published for {VERSION}")
    if task.name == "ner":
        odd = sum(not _is_nfkc(example) for example in split.examples)
        if odd:
            found.append(f"{split.origin}: {odd:,} sentences are not NFKC, so it is not {VERSION}")
    return found


def _is_nfkc(example: Any) -> bool:
    return unicodedata.is_normalized("NFKC", "".join(example.characters))


# ---- official files --------------------------------------------------------------------------------------


def read_file(task: Task, path: Path, split: str) -> Split:
    """An official file, plain or .xz. Raises `XPTError` where it cannot be read as one of the task."""
    text = read_text(path)
    examples = [example for record in task.records(text, path.name) for example in task.examples(record)]
    return make_split(task, split, examples, path.name)


def read_text(path: Path) -> str:
    """A text file in UTF-8, unpacked if its name ends in .xz. Raises `XPTError` where it is none."""
    try:
        raw = path.read_bytes()
        if path.suffix == ".xz":
            raw = lzma.decompress(raw)
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise XPTError(f"{path} line {line}: is not UTF-8; get the file again") from error
    except lzma.LZMAError as error:
        raise XPTError(f"{path}: is no whole .xz file ({error}); get the file again") from error
    except OSError as error:
        raise XPTError(f"{path}: cannot be read ({error.strerror or error})") from error


def find_file(task: Task, folder: Path, split: str) -> Path:
    """A split's file in a folder of the official release, or in the task's own folder.

    The official name, plain or .xz; else the only file whose name begins like it, as those of parts do.
    Raises `XPTError` where there is none, or several.
    """
    places = [place for place in (folder / task.folder, folder) if place.is_dir()]
    if not places:
        raise XPTError(f"--data_dir {folder}: is no folder")
    stem = f"{task.folder}_{FILE_SPLITS[split]}"
    for place in places:
        for name in (f"{stem}{task.suffix}", f"{stem}{task.suffix}.xz"):
            if (place / name).is_file():
                return place / name
    for place in places:
        parts = sorted(path for path in place.glob(f"{stem}*{task.suffix}*") if path.is_file())
        if len(parts) == 1:
            return parts[0]
        if parts:
            listed = ", ".join(path.name for path in parts)
            raise XPTError(f"--data_dir {folder}: which of {listed}? give --{split}_file")
    raise XPTError(f"--data_dir {folder}: has no {task.folder}/{stem}{task.suffix}; give --{split}_file")


# ---- a part of a split -----------------------------------------------------------------------------------


def first_examples(split: Split, count: int | None) -> Split:
    """The first `count` examples; all for None."""
    if count is None or count >= len(split.examples):
        return split
    return _part(split, split.examples[:count])


def chosen_examples(split: Split, count: int | None, seed: int) -> Split:
    """`count` examples by seed, in their order; all for None."""
    if count is None or count >= len(split.examples):
        return split
    indices = sorted(random.Random(seed).sample(range(len(split.examples)), count))
    return _part(split, [split.examples[index] for index in indices])


def _part(split: Split, examples: list[Any]) -> Split:
    return replace(split, examples=examples, sha256=content_sha256(examples))
