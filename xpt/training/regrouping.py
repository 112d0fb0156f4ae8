"""The rows of a step may be shared out anew when a run goes on: other processes, other micro-batches.

Which rows a step reads depends on how many they are, so that a run goes on in as many processes as there are
now, as long as rows a device x micro-batches x processes stays what it was.
"""

from typing import Any

# Rows a device and micro-batch, micro-batches, processes, and devices that one process feeds.
GROUPING = ("per_device_train_batch_size", "gradient_accumulation_steps", "world_size", "n_gpu")


def rows_per_step(settings: dict[str, Any]) -> int | None:
    """Rows that one optimizer step reads; None of settings that do not tell."""
    try:
        rows, batches, processes, devices = (int(settings[name]) for name in GROUPING)
    except (KeyError, TypeError, ValueError):
        return None
    return rows * batches * max(processes, 1) * max(devices, 1)


def regrouped(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What to say where `now` reads the rows of each step of `before` in another grouping; else None."""
    rows = rows_per_step(now)
    if rows is None or rows != rows_per_step(before) or all(before[name] == now[name] for name in GROUPING):
        return None
    return (
        f"goes on with {_grouping(now)}, before with {_grouping(before)}: the same global batch of "
        f"{rows:,} rows, but sums are rounded otherwise, and dropout differs"
    )


def _grouping(settings: dict[str, Any]) -> str:
    rows, batches, processes, devices = (int(settings[name]) for name in GROUPING)
    noun = "process" if processes <= 1 else "processes"
    shares = f"{rows * max(devices, 1)} rows" + (f" x {batches} micro-batches" if batches > 1 else "")
    return f"{max(processes, 1)} {noun} x {shares}"
