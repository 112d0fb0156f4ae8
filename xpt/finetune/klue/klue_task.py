"""A task of the benchmark: what its eight tasks share, which is that the official metrics score them."""

from typing import TYPE_CHECKING

from xpt.finetune.task import Task

if TYPE_CHECKING:
    from evaluate import Metric


class KlueTask(Task):
    """A task that is scored as the benchmark scores it."""

    def metric(self) -> "Metric":
        """The configuration of `klue_metric` of this task's name."""
        from xpt.finetune.klue.klue_metric.klue_metric import KlueMetric  # scikit-learn: for who scores

        return KlueMetric(self.name)
