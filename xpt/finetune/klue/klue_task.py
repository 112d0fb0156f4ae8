"""A task of the benchmark: what its eight tasks share, which is that the official metrics score them."""

from evaluate import Metric

from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric
from xpt.finetune.task import Task


class KlueTask(Task):
    """A task that is scored as the benchmark scores it."""

    def metric(self) -> Metric:
        """The configuration of `klue_metric` of this task's name."""
        return KlueMetric(self.name)
