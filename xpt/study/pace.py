"""How fast runs train, measured once and kept beside them, so that a budget of minutes means fixed steps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from train_xpt import prepare
from xpt.program.environment import available_cores, describe_hardware, describe_versions
from xpt.program.errors import XPTError
from xpt.program.files import read_record, write_record
from xpt.program.interrupts import StopRequest
from xpt.recipe.recipe import Recipe
from xpt.run.dry_run import PhasePlan, plan_phase
from xpt.run.folder import Run
from xpt.run.post_training import PostTraining

Probe = Callable[[Recipe], float]  # seconds of a recipe's steps


@dataclass(frozen=True)
class Paces:
    """What was measured, by the hash of a run's settings without its seed.

    It is believed from then on, on any machine: other steps would be other runs.
    """

    file: Path

    def seconds(self, key: str, recipe: Recipe, probe: Probe | None) -> float:
        """Of the recipe's steps, measured by `probe` where nobody has. Raises `XPTError` without one."""
        stored = self._stored()
        if key not in stored:
            if probe is None:
                raise XPTError(
                    "budget: minutes: how fast it trains is not measured yet; xpt study estimate does"
                )
            stored[key] = {
                "seconds": probe(recipe),
                "threads": torch.get_num_threads(),
                "hardware": describe_hardware(),
                "versions": describe_versions(),
            }
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_record(self.file, stored)
        return float(stored[key]["seconds"])

    def _stored(self) -> dict[str, Any]:
        try:
            return dict(read_record(self.file))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise XPTError(
                f"{self.file} is damaged ({error}); delete it, and speeds are measured again, by which runs "
                "get other steps"
            ) from error


def probed(recipe: Recipe, stop: StopRequest) -> tuple[PostTraining, list[PhasePlan]]:
    """A run at its start and its phases, a few steps of each measured; only the text's cache is written."""
    if recipe.training.world_size > 1:
        raise XPTError("speed is measured of a single process; start it without torchrun")
    with Run(Path(str(recipe.training.output_dir)), writes=False, regroups=True) as folder:
        training = prepare(recipe, folder, stop)[0]
        training.model.to(recipe.training.device)
        return training, [plan_phase(training, index) for index in range(len(training.phases))]


def measured_with(threads: int | None, jobs: int, stop: StopRequest) -> Probe:
    """Measures with the threads that a worker of the queue will have, though alone on the machine."""

    def probe(recipe: Recipe) -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(threads or max(1, available_cores() // jobs))
        try:
            return sum(plan.seconds for plan in probed(recipe, stop)[1])
        finally:
            torch.set_num_threads(before)

    return probe
