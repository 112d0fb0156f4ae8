"""Every kind of case by its name, and how one is made from kind, number and seed."""

import random
from collections.abc import Callable
from pathlib import Path

from soak.fuzzing import files, settings
from soak.fuzzing.base import Base, copy_folder
from soak.fuzzing.case import Case

KINDS: dict[str, Callable[[Case], None]] = {
    "option": settings.fuzz_option,
    "flags": settings.fuzz_flags,
    "recipe": settings.fuzz_recipe,
    "recipe bytes": settings.fuzz_recipe_bytes,
    "phases": settings.fuzz_phases,
    "paths": settings.fuzz_paths,
    "corpus": files.fuzz_corpus,
    "tokenizer": files.fuzz_tokenizer,
    "source": files.fuzz_source,
    "run folder": files.fuzz_run_folder,
    "finished run": files.fuzz_finished,
    "cache": files.fuzz_cache,
    "signal": files.fuzz_signal,
}
# Only when named: whoever can write a senseless content with its right hash can write anything.
SEALED: dict[str, Callable[[Case], None]] = {
    "sealed checkpoint": files.fuzz_sealed_checkpoint,
    "sealed record": files.fuzz_sealed_record,
}


def make_case(kind: str, number: int, seed: int, folder: Path, base: Base) -> Case:
    """Fill `folder` with a case of that kind; the same for the same kind, number and seed."""
    case = Case(folder, base, random.Random(f"{seed}:{kind}:{number}"), number, base.options())
    for place in ("in", "cwd"):
        (folder / place).mkdir(parents=True)
    copy_folder(base.cache, case.cache)
    (KINDS | SEALED)[kind](case)
    case.fresh = not case.output.exists()
    return case
