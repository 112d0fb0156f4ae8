"""Mean, spread and 95 % intervals over seeds, and whether a paired difference is beyond noise.

Intervals are Student's: with normal noise they hold the truth in 95 % of studies for any number of seeds from
two on. The bootstrap, percentile or BCa, does so only for many: resampling a few seeds finds less spread than
there is (tests/study/test_statistics.py counts both).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: of the values.
        count: of them.
        spread: their standard deviation; None for a single one.
        low, high: the 95 % interval of the mean; None for a single one.
    """

    mean: float
    count: int
    spread: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def differs_from_zero(self) -> bool:
        """Whether there is an interval and 0 is outside."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of `values`, one for each seed, with its interval. There must be at least one."""
    mean, count = statistics.fmean(values), len(values)
    if count == 1:
        return Estimate(mean, count)
    spread = statistics.stdev(values)
    half = t_quantile(count) * spread / math.sqrt(count)
    return Estimate(mean, count, spread, mean - half, mean + half)


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Estimate | None:
    """The mean difference over the seeds that both have; None where there is no such seed.

    What a seed does to both, the order of the text for example, is taken out by the pairing.
    """
    shared = [seed for seed in values if seed in reference]
    return estimate([values[seed] - reference[seed] for seed in shared]) if shared else None


def t_quantile(count: int) -> float:
    """By how many standard errors an interval of `count` values reaches to each side."""
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, count - 1))
