"""Where what was made once is kept for later runs, and under which name."""

import hashlib
import os
from pathlib import Path


def cache_home() -> Path:
    """$XPT_CACHE, else ~/.cache/xpt."""
    chosen = os.environ.get("XPT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "xpt"


def cache_key(*parts: str) -> str:
    """The name of what depends on all of these and on nothing else."""
    digest = hashlib.sha256()
    for number, part in enumerate(parts):
        digest.update((f"\n{part}" if number else part).encode())
    return digest.hexdigest()[:24]
