"""Which phases of a run are still wanted when it is started again, and where those before left their weights.

Phases are a line unless `start_from` branches or merges: then one may start from several that ended long ago.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from xpt.run.folder import Run
from xpt.training.phases import Phase
from xpt.training.starting import INITIAL


def origin_folders(run: Run, phases: Sequence[Phase]) -> dict[str, Path]:
    """By name, where the weights lie that each phase ended with; those of step 0 too."""
    ends = {phase.name: run.checkpoints.path(phase.name, phase.steps) for phase in phases}
    return {INITIAL: run.initial, **ends}


def wanted_phases(run: Run, phases: Sequence[Phase]) -> set[str]:
    """Names of those that are to be trained on, measured, or started from.

    The last one always is: it is the result. One without a checkpoint wants what it starts from.
    """
    measured, wanted = run.progress(), {phases[-1].name}
    before = {phase.name: (earlier.name,) for earlier, phase in pairwise(phases)}
    for phase in reversed(phases):
        if phase.name in measured and phase.name not in wanted:
            continue
        wanted.add(phase.name)
        if run.checkpoints.newest(phase.name) is None:
            wanted.update(phase.start_from.phases if phase.start_from else before.get(phase.name, ()))
    return wanted
