"""What few phases have, in words: for the announcement of a run, its dry run and its card."""

from collections.abc import Mapping
from typing import Any


def phase_notes(phase: Mapping[str, Any]) -> list[str]:
    """Short sentences without a subject, from a phase's record; none of a phase that has nothing unusual."""
    notes = []
    shares = phase.get("mlm_probability")
    if isinstance(shares, list):
        notes.append(f"masks {' to '.join(f'{100 * share:g}' for share in shares)} % of the tokens")
    if rates := phase.get("learning_rates"):
        listed = ", ".join(f"{group} x {factor:g}" for group, factor in rates.items())
        notes.append(f"learning rate of {listed}")
    if start := phase.get("start_from"):
        notes.append(f"starts from {_origins(start)}")
    if not phase.get("rewarm", True):
        notes.append("goes on with the schedule before it")
    if until := phase.get("until"):
        notes.append(
            f"ends where validation loss, taken every {until['every']:,} steps, has not improved by "
            f"{until['least']:g} nats {until['patience']} times in a row"
        )
    return notes


def _origins(start: str | Mapping[str, list[str]]) -> str:
    if isinstance(start, str):
        return "the model at step 0" if start == "initial" else f"the end of {start}"
    merged = (f"{group} of {' and '.join(names)}" for group, names in start.items())
    return f"a merge: {', '.join(merged)}"
