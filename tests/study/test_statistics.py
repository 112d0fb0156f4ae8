"""Intervals hold the truth as often as they say; the data factor finds a known one."""

import math

import numpy as np
import pytest
from scipy import stats

from xpt.study.data_factor import data_factor
from xpt.study.statistics import estimate, paired_difference

STUDIES = 3000  # simulated; the share that holds the truth is then known to 0.4 %


def held(draws: np.ndarray, truth: float) -> float:
    """The share of studies, (studies, seeds), whose interval holds the truth."""
    found = [estimate(values) for values in draws.tolist()]
    return sum(one.low <= truth <= one.high for one in found) / len(found)


@pytest.mark.parametrize("seeds", range(5, 11))
@pytest.mark.parametrize("skewed", [False, True])
def test_95_of_100_intervals_hold_the_truth(seeds, skewed):
    random = np.random.default_rng(seeds)
    if skewed:  # a long tail to one side, as of losses that diverge now and then
        draws, truth = random.lognormal(0.0, 0.25, (STUDIES, seeds)), math.exp(0.25**2 / 2)
    else:
        draws, truth = random.normal(4.1, 0.03, (STUDIES, seeds)), 4.1
    assert abs(held(draws, truth) - 0.95) <= 0.02


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_the_bootstrap_of_five_seeds_holds_it_less_often(method):
    """Why it is not used: resampled seeds spread less than seeds do."""
    random = np.random.default_rng(5)
    draws = random.normal(4.1, 0.03, (500, 5))
    found = stats.bootstrap(
        (draws,), np.mean, axis=-1, n_resamples=499, method=method, batch=100, rng=random
    ).confidence_interval
    assert np.mean((found.low <= 4.1) & (found.high >= 4.1)) < 0.91


@pytest.mark.parametrize("seeds", [5, 10])
def test_pairing_takes_out_what_a_seed_does_to_both(seeds):
    random = np.random.default_rng(seeds)
    common = random.normal(0.0, 1.0, (STUDIES, seeds))
    one, other = (shift + common + random.normal(0.0, 0.02, common.shape) for shift in (4.0, 3.9))
    found = [
        paired_difference(dict(enumerate(b)), dict(enumerate(a)))
        for a, b in zip(one.tolist(), other.tolist(), strict=True)
    ]
    share = np.mean([difference.low <= -0.1 <= difference.high for difference in found])
    assert abs(share - 0.95) <= 0.02
    assert np.mean([difference.differs_from_zero for difference in found]) > 0.95  # unpaired: lost in 1.0


def test_no_difference_is_called_one_in_twenty():
    random = np.random.default_rng(3)
    pairs = random.normal(0.0, 1.0, (STUDIES, 2, 6)).tolist()
    called = [paired_difference(dict(enumerate(a)), dict(enumerate(b))).differs_from_zero for a, b in pairs]
    assert abs(np.mean(called) - 0.05) <= 0.02


def test_an_interval_by_hand():
    """1, 2, 3: spread 1, standard error 1 / sqrt(3), the quantile of two degrees of freedom 4.303."""
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.spread, found.count) == (2.0, 1.0, 3)
    assert found.high - found.mean == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_seed_has_no_interval_and_differs_from_nothing():
    found = paired_difference({1: 9.0, 2: 8.0}, {1: 1.0, 3: 0.0})
    assert (found.mean, found.count, found.low, found.high) == (8.0, 1, None, None)
    assert not found.differs_from_zero
    assert paired_difference({1: 9.0}, {2: 1.0}) is None


# ---- data factor -----------------------------------------------------------------------------------------

SIZES = (1000, 4000, 16_000, 64_000)
SLOPE = 3.0  # points for e times as many sentences
FACTOR = 5.0


def simulated(random, seeds, noise, factor=FACTOR, sign=1.0):
    """Scores of an arm at 4,000 sentences that is worth `factor` times as many, and of the control."""
    effect = random.normal(0.0, noise, seeds)  # of each seed, on both

    def scores(sentences):
        values = sign * (SLOPE * math.log(sentences) + effect + random.normal(0.0, noise, seeds))
        return dict(enumerate(values.tolist()))

    return scores(4000 * factor), {size: scores(size) for size in SIZES}


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_data_factor_of_exact_curves_is_the_known_one(sign):
    arm, control = simulated(np.random.default_rng(0), 3, 0.0, sign=sign)
    found = data_factor(4000, arm, control, higher_is_better=sign > 0)
    assert found.factor == pytest.approx(FACTOR, rel=1e-6)
    assert found.low == pytest.approx(FACTOR, rel=2e-3) and found.high == pytest.approx(FACTOR, rel=2e-3)
    assert (found.least, found.most, found.count) == (0.25, 16.0, 3)


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_95_of_100_intervals_hold_the_known_factor(seeds):
    random = np.random.default_rng(seeds)
    hits = 0
    for _ in range(600):
        found = data_factor(4000, *simulated(random, seeds, 0.4))
        low, high = found.low or 0.0, found.high or math.inf
        hits += low <= FACTOR <= high
    assert 0.93 <= hits / 600 <= 0.98  # of 600 the share is known to 0.9 %


def test_a_score_that_the_control_never_has_is_not_reached():
    arm, control = simulated(np.random.default_rng(1), 4, 0.05, factor=40.0)
    found = data_factor(4000, arm, control)
    assert (found.factor, found.low, found.high) == (None, None, None)
    assert str(found) == "not reached (more than 16)"


def test_an_interval_may_be_open():
    arm, control = simulated(np.random.default_rng(2), 3, 0.3, factor=15.0)
    found = data_factor(4000, arm, control)
    assert found.low is not None and found.high is None and str(found).endswith("to not reached)")


def test_an_arm_that_is_worse_than_the_least_text_is_below():
    arm, control = simulated(np.random.default_rng(1), 4, 0.01, factor=0.1)
    assert str(data_factor(4000, arm, control)) == "below 0.25"


def test_one_seed_has_a_factor_and_no_interval_and_one_size_has_none():
    arm, control = simulated(np.random.default_rng(1), 1, 0.0)
    assert str(data_factor(4000, arm, control)) == "5, no interval: one seed"
    assert data_factor(4000, arm, {1000: control[1000]}) is None
    assert data_factor(4000, {7: 1.0}, control) is None
