"""Help that was made once is shown again at once: transformers' options alone take seconds to import.

It is kept under what decides about it, our modules and the versions of what they import, so that a changed
option shows.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from xpt.program.cache import cache_home

PACKAGE = Path(__file__).parents[1]


def cached_help(name: str, make: Callable[[], str]) -> str:
    """The help of command `name`: kept from before, or made by `make` and kept where that can be written."""
    try:
        file = cache_home() / "help" / f"{name}.txt"
    except RuntimeError:  # nobody's home
        return make()
    key = _key()
    with suppress(OSError, UnicodeDecodeError):
        known, _, text = file.read_text(encoding="utf-8").partition("\n")
        if known == key:
            return text
    text = make()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        staging = file.with_name(f"{name}.{os.getpid()}")
        staging.write_text(f"{key}\n{text}", encoding="utf-8")
        staging.replace(file)
    return text


def _key() -> str:
    parts = [sys.version, *map(version, ("transformers", "torch"))]
    for module in sorted(PACKAGE.rglob("*.py")):
        stat = module.stat()
        parts.append(f"{module} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
