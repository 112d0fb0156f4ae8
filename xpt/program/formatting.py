"""Numbers and text as a person reads them on a screen: short, and as wide as they look.

Every function here has a known greatest width, so that whoever builds a line can promise that it fits.
"""

import math
from collections.abc import Callable

import wcwidth

LINE_WIDTH = 100  # columns that everything printed fits


def short_count(value: float) -> str:
    """A count in three digits: `950`, `12.3K`, `1.26M`, ... `999T`; at most 6 columns."""
    if not math.isfinite(value):
        return f"{value}"
    for unit in ("", "K", "M", "B", "T"):
        if abs(value) < 999.5:
            digits = 0 if not unit or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
            return f"{value:.{digits}f}{unit}"
        value /= 1000
    return f"{1e15 * value:.0e}"


def short_number(value: float) -> str:
    """A loss, norm or rate: `4.123`, `154.2`, `1.0e-04`, `nan`; at most 8 columns, 7 where positive."""
    magnitude = abs(value)
    if magnitude >= 1e99 or 0 < magnitude < 1e-99:
        return f"{value:.0e}"
    if not math.isfinite(value) or 0 < magnitude < 1e-2 or magnitude >= 99_999:
        return f"{value:.1e}"
    return f"{value:.3f}" if magnitude < 99.9995 else f"{value:.1f}"


def duration(seconds: float) -> str:
    """Seconds as `42s`, `12m05s`, `3h20m`, `2d04h`, `>999d`; at most 6 columns."""
    if not math.isfinite(seconds):
        return "?"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    days = whole // 86_400
    if days < 100:
        return f"{days}d{whole // 3600 % 24:02}h"
    return f"{days}d" if days < 1000 else ">999d"


def short_size(count: float) -> str:
    """Bytes, up to the address space of a machine, as `512 B`, `4 MiB`, `2.3 GiB`; at most 8 columns."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1023.5 or unit == "PiB":
            break
        count /= 1024
    return f"{count:.{1 if unit[0] in 'GTP' and count < 99.95 else 0}f} {unit}"


def known(shown: Callable[[float], str], value: float | None) -> str:
    """`value` by one of the functions above, or `?` for None."""
    return "?" if value is None else shown(value)


def pad(text: str, columns: int) -> str:
    """`text` followed by spaces up to `columns`; Korean letters take two."""
    return wcwidth.ljust(text, columns)


def clip(text: str, columns: int) -> str:
    """`text`, or as much of it as fits with an ellipsis behind; nothing where no column is left."""
    if wcwidth.width(text) <= columns:
        return text
    if columns < 1:
        return ""
    return wcwidth.clip(text, 0, columns - 1).rstrip() + "…"


def wrap(text: str, indent: str = "", first: str | None = None) -> str:
    """`text` in lines that fit, behind `indent`; the first one behind `first` where that is given."""
    lines = wcwidth.wrap(
        text,
        LINE_WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return "\n".join(lines)
