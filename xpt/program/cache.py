"""Where what was made once is kept for later runs."""

import os
from pathlib import Path


def cache_home() -> Path:
    """$XPT_CACHE, else ~/.cache/xpt."""
    chosen = os.environ.get("XPT_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "xpt"
