"""Accuracy, macro F1 and their intervals, against other ways to get them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from xpt.finetune.label_scores import LabelMetric, label_baselines, label_intervals, macro_f1

LABELS = ("a", "b", "c")
ANSWERS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=40)


@given(ANSWERS)
def test_macro_f1_of_counts_is_that_of_scikit_learn(pairs):
    counts = np.zeros((3, 3), dtype=int)
    for gold, answered in pairs:
        counts[LABELS.index(gold), LABELS.index(answered)] += 1
    gold, answered = zip(*pairs, strict=True)
    expected = f1_score(gold, answered, average="macro", zero_division=0.0)
    assert macro_f1(counts) == pytest.approx(expected)
    stacked = macro_f1(np.stack([counts, counts.T]))
    assert stacked == pytest.approx([expected, expected])  # F1 does not tell gold from answers


@settings(max_examples=20)
@given(ANSWERS)
def test_a_score_is_within_its_interval_and_more_examples_narrow_it(pairs):
    gold, answered = map(list, zip(*pairs, strict=True))

    def widths(times):
        found = label_intervals("x", LABELS, gold * times, answered * times)
        scores = LabelMetric("x").compute(
            predictions=[{"label": label} for label in answered],
            references=[{"label": label} for label in gold],
        )
        low, high = found["x/accuracy"]
        assert 0 <= low <= scores["x/accuracy"] + 1e-9 and scores["x/accuracy"] <= high + 1e-9 <= 100 + 2e-9
        assert found == label_intervals("x", LABELS, gold * times, answered * times)  # seeded
        return {name: high - low for name, (low, high) in found.items()}

    once, often = widths(1), widths(25)
    assert all(often[name] <= once[name] + 1e-9 for name in once)


@pytest.mark.slow
def test_95_of_100_intervals_hold_the_truth():
    """Answers are right by a known probability in each label; intervals of samples are counted."""
    chooser = np.random.default_rng(1)
    truth = np.array([[40, 10], [15, 35]]) / 100
    exact = {"x/accuracy": 75.0, "x/macro_f1": 100 * float(macro_f1(truth))}
    held = dict.fromkeys(exact, 0)
    for _ in range(300):
        cells = chooser.choice(4, size=300, p=truth.ravel())
        gold, answered = [LABELS[cell // 2] for cell in cells], [LABELS[cell % 2] for cell in cells]
        for name, (low, high) in label_intervals("x", LABELS[:2], gold, answered).items():
            held[name] += low <= exact[name] <= high
    assert all(0.91 < count / 300 < 0.99 for count in held.values()), held


def test_chance_and_a_constant_answer_stand_apart():
    baselines = label_baselines("x", LABELS, ["a", "a", "b", "c"])
    assert baselines["constant"]["x/accuracy"] == 50.0
    assert baselines["constant"]["x/macro_f1"] == pytest.approx(100 * (2 / 3) / 3)
    assert baselines["chance"]["x/accuracy"] == pytest.approx(100 / 3)
