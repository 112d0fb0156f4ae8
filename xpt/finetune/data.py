"""A task's examples, from official files or the Hub, in one form; and what a result must say of them.

Everything is read and checked before training: a file that is malformed, or holds one example twice, is an
error that names file, line or guid. A part of a split is fine, and is called so.
"""

import hashlib
import json
import lzma
import random
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xpt.finetune.split import Split
from xpt.finetune.task import Task
from xpt.program.errors import XPTError

FILE_SPLITS = {"train": "train", "validation": "dev", "test": "test"}  # as official files call them


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
    return Split(
        name,
        list(examples),
        origin,
        revision,
        task.sizes[name],
        content_sha256(examples),
        tuple(task.warnings(origin, examples)),
    )


def content_sha256(examples: Sequence[Any]) -> str:
    """A hash of what examples hold, not of the file that they came from."""
    digest = hashlib.sha256()
    for example in examples:
        line = json.dumps(asdict(example), ensure_ascii=False, sort_keys=True)
        digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


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
    """A split's file in a folder of the official release.

    One of the task's names for it, plain or .xz; else the only file whose name begins like one, as those of
    parts do. Raises `XPTError` where there is none, or several.
    """
    if not folder.is_dir():
        raise XPTError(f"--data_dir {folder}: is no folder")
    stems = task.file_stems(split)
    for stem in stems:
        for name in (f"{stem}{task.suffix}", f"{stem}{task.suffix}.xz"):
            if (folder / name).is_file():
                return folder / name
    for stem in stems:
        parts = sorted(path for path in folder.glob(f"{stem}*{task.suffix}*") if path.is_file())
        if len(parts) == 1:
            return parts[0]
        if parts:
            listed = ", ".join(path.name for path in parts)
            raise XPTError(f"--data_dir {folder}: which of {listed}? give --{split}_file")
    raise XPTError(f"--data_dir {folder}: has no {stems[0]}{task.suffix}; give --{split}_file")


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
