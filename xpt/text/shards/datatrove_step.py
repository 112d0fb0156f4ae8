"""A stage as a step of datatrove; apart, since datatrove is an extra."""

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from xpt.text.shards.job import Stage


class StageStep(PipelineStep):
    """Does the stage's work of one rank; documents are read and written by the work itself."""

    type = "XPT"

    def __init__(self, stage: Stage):
        self.name = stage.name
        super().__init__()
        self.stage = stage

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> None:
        """Called once a task."""
        with self.track_time():
            self.stage.work(rank, world_size)
