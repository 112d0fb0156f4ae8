"""How much more text the control needs: the data factor.

Between the sizes that were trained a score is taken to be linear in the logarithm of the sentences. The
interval holds every size at which control and arm do not differ beyond noise, seed by seed (Fieller 1954), so
that it has the coverage of the t-interval, and is open where the control has not been trained on enough.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xpt.study.statistics import t_quantile

GRID = 4001  # sizes looked at, evenly in the logarithm

Scores = Mapping[int, float]  # by seed


@dataclass(frozen=True)
class DataFactor:
    """Sentences that the control needs for the arm's score, over those that the arm had.

    Args:
        sentences: that the arm had.
        factor: the first one, or None where the control reaches the score at no size that was trained.
        reached: whether it does; False with a factor of None where even its smallest size is better.
        low, high: the 95 % interval; None where it is open to that side, or where there are too few seeds.
        least, most: the factors of the smallest and the largest size of the control.
        count: seeds that all of these have.
    """

    sentences: int
    factor: float | None
    low: float | None
    high: float | None
    least: float
    most: float
    count: int
    above: bool = False  # without a factor: the arm is better than the control at any size

    def __str__(self) -> str:
        if self.factor is None:
            point = f"not reached (more than {self.most:.3g})" if self.above else f"below {self.least:.3g}"
        else:
            point = f"{self.factor:.3g}"
        if self.count < 2:
            return f"{point}, no interval: one seed"
        if self.low is None and self.high is None and self.factor is None:
            return point
        low = "below the smallest size" if self.low is None else f"{self.low:.3g}"
        high = "not reached" if self.high is None else f"{self.high:.3g}"
        return f"{point} ({low} to {high})"


def data_factor(
    sentences: int, arm: Scores, control: Mapping[int, Scores], higher_is_better: bool = True
) -> DataFactor | None:
    """How many times the arm's `sentences` the control needs to score as the arm does.

    Args:
        sentences: training sentences of the arm.
        arm: its scores by seed.
        control: of each number of sentences its scores by seed.
        higher_is_better: false for a loss.

    Returns:
        None where fewer than two sizes share a seed with the arm.
    """
    sizes = sorted(control)
    seeds = [seed for seed in arm if all(seed in control[size] for size in sizes)]
    if len(sizes) < 2 or not seeds:
        return None
    sign = 1.0 if higher_is_better else -1.0
    logs = np.log(sizes)
    grid = np.linspace(logs[0], logs[-1], GRID)
    curves = np.array([np.interp(grid, logs, [control[size][seed] for size in sizes]) for seed in seeds])
    ahead = sign * (np.array([[arm[seed]] for seed in seeds]) - curves)  # of the arm, (seeds, sizes)
    mean = ahead.mean(axis=0)
    crossed = np.flatnonzero(mean <= 0)
    point = None
    if len(crossed) and (crossed[0] > 0 or mean[0] == 0):
        point = _crossing(grid, mean, int(crossed[0])) - math.log(sentences)
    low = high = None
    count = len(seeds)
    if count > 1:
        half = t_quantile(count) * ahead.std(axis=0, ddof=1) / math.sqrt(count)
        inside = np.flatnonzero(np.abs(mean) <= half)
        if len(inside):
            low = None if inside[0] == 0 else float(grid[inside[0]]) - math.log(sentences)
            high = None if inside[-1] == GRID - 1 else float(grid[inside[-1]]) - math.log(sentences)
        elif point is not None:  # between two sizes of the grid
            low = high = point
    return DataFactor(
        sentences=sentences,
        factor=_exp(point),
        low=_exp(low),
        high=_exp(high),
        least=sizes[0] / sentences,
        most=sizes[-1] / sentences,
        count=count,
        above=bool(mean[-1] > 0),
    )


def _crossing(grid: np.ndarray, mean: np.ndarray, place: int) -> float:
    """Where the mean crosses zero, just before `place`."""
    if place == 0:
        return float(grid[0])
    before, after = mean[place - 1], mean[place]
    return float(grid[place - 1] + (grid[place] - grid[place - 1]) * before / (before - after))


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(value)
