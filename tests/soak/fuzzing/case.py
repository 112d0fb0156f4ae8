"""One case of the fuzzer: its command line, its folder, and what it is held to.

A case's folder holds `in` (what it reads), `out` (its run), `cache` and `cwd`.
"""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soak.fuzzing.base import Base


@dataclass
class Case:
    """A command line and what belongs to it."""

    folder: Path
    base: Base
    chooser: random.Random
    number: int
    options: dict[str, Any] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)  # flags behind the options
    recipes: list[str] = field(default_factory=list)
    stop: tuple[int, float] | None = None  # a signal, and after how many seconds
    same_weights: bool = False  # as the undisturbed run, if it ends well
    given_output: str | None = None  # instead of `out`; relative to `cwd`, where it may then write
    fresh: bool = True  # nothing stood in its output before
    what: str = ""

    @property
    def inputs(self) -> Path:
        return self.folder / "in"

    @property
    def output(self) -> Path:
        return self.folder / "out"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def writable(self) -> tuple[Path, ...]:
        """Where it may write: run and cache; for a given output, also where it could be made."""
        if self.given_output is None:
            return (self.output, self.cache)
        existing = self.folder / "cwd" / self.given_output
        while not _exists(existing):
            existing = existing.parent
        return (self.folder / "cwd", self.cache, existing)

    def has_workers(self) -> bool:
        """Whether it may ask for data loaders in processes of their own."""
        read = [path.read_bytes().decode("utf-8", "replace") for path in self.inputs.glob("*.yaml")]
        return any("num_workers" in text.replace("-", "_") for text in (*read, *self.arguments()))

    def arguments(self) -> list[str]:
        """The command line; the folders stand last, so that they hold."""
        given = {name: value for name, value in self.options.items() if value is not None}
        tokens = [token for name, value in given.items() for token in (f"--{name}", str(value))]
        output = str(self.output) if self.given_output is None else self.given_output
        places = [f"--output_dir={output}", f"--cache_dir={self.cache}"]
        return [*self.recipes, *tokens, *self.extra, *places]


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a link to itself
        return False


def send_signal(case: Case) -> Callable[[int], None]:
    """Sends the case's signal, once, to the process it is called with."""
    began: list[float] = []
    waiting = [case.stop] if case.stop else []

    def meanwhile(process: int) -> None:
        if not began:
            began.append(time.monotonic())
        if waiting and time.monotonic() - began[0] > waiting[0][1]:
            os.kill(process, waiting.pop()[0])

    return meanwhile
