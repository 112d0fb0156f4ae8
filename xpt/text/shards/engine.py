"""Who runs the tasks: this process, or datatrove's executors on this machine, on Slurm or on Ray.

datatrove keeps count of finished tasks under its log folder, so that the same command goes on after a crash.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpt.program.errors import XPTError
from xpt.text.shards.job import Stage


@dataclass(frozen=True)
class Engine:
    """An executor and what it is told.

    Args:
        name: a key of `ENGINES`.
        workers: tasks that run at once; -1 for no limit.
        logs: datatrove's own folder, seen by all machines.
        slurm: partition, time and memory of a task, as `SlurmPipelineExecutor` names them.
    """

    name: str
    workers: int
    logs: Path
    slurm: dict[str, Any]

    def run(self, stages: list[Stage]) -> None:
        """Run all stages, or hand them over (Slurm). Raises `XPTError` where the library is missing."""
        ENGINES[self.name](self, stages)


def _here(engine: Engine, stages: list[Stage]) -> None:
    for stage in stages:
        for task in range(stage.tasks):
            stage.work(task, stage.tasks)


def _local(engine: Engine, stages: list[Stage]) -> None:
    step = _step()
    from datatrove.executor.local import LocalPipelineExecutor

    for stage in stages:
        logs, workers = str(engine.logs / stage.name), min(engine.workers, stage.tasks)
        LocalPipelineExecutor([step(stage)], tasks=stage.tasks, workers=workers, logging_dir=logs).run()


def _slurm(engine: Engine, stages: list[Stage]) -> None:
    step, last = _step(), None
    from datatrove.executor.slurm import SlurmPipelineExecutor

    for stage in stages:
        last = SlurmPipelineExecutor(
            [step(stage)],
            tasks=stage.tasks,
            workers=engine.workers,
            job_name=f"xpt-{stage.name}",
            logging_dir=str(engine.logs / stage.name),
            depends=last,
            **engine.slurm,
        )
    assert last is not None
    last.run()  # and, before it, what it depends on


def _ray(engine: Engine, stages: list[Stage]) -> None:
    step = _step()
    try:
        import ray
        from datatrove.executor.ray import RayPipelineExecutor
    except ImportError as error:
        raise XPTError("--executor ray needs Ray: pip install 'datatrove[ray]'") from error
    ray.init()
    for stage in stages:
        logs = str(engine.logs / stage.name)
        RayPipelineExecutor([step(stage)], tasks=stage.tasks, workers=engine.workers, logging_dir=logs).run()


def _step() -> type:
    """The class of datatrove's steps that hold a stage."""
    try:
        from xpt.text.shards.datatrove_step import StageStep
    except ImportError as error:
        raise XPTError(
            "datatrove is not installed: pip install 'xpt[scale]', or give --executor here for one process"
        ) from error
    return StageStep


ENGINES: dict[str, Callable[[Engine, list[Stage]], None]] = {
    "local": _local,
    "slurm": _slurm,
    "ray": _ray,
    "here": _here,
}
