"""Scores against scikit-learn's, and bootstrap intervals against images that are drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from training.evaluation.metrics import AVERAGES, Counts, Indices, bootstrap_intervals, roc_areas

CLASSES = 6
pairs = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=60).map(
    lambda drawn: np.array(drawn, np.int64).T
)


def imperfect(n: int, classes: int, accuracy: float, seed: int = 0) -> tuple[Indices, Indices]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, n)
    return truth, np.where(random.random(n) < accuracy, truth, random.integers(0, classes, n))


@given(pairs)
def test_the_scores_are_scikit_learn_s(drawn: Indices) -> None:
    truth, predicted = drawn
    counts = Counts.of(truth, predicted, CLASSES)
    each = precision_recall_fscore_support(truth, predicted, labels=range(CLASSES), zero_division=0)
    for found, expected in zip((counts.precision, counts.recall, counts.f1, counts.support), each, strict=True):
        np.testing.assert_allclose(found, expected)
    averages = counts.averages()
    for average in ("macro", "weighted"):
        expected = precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        for score, value in zip(("precision", "recall", "f1"), expected, strict=False):
            assert averages[f"{score}_{average}"] == pytest.approx(value)


def test_resamples_are_scored_as_if_each_were_alone() -> None:
    first, second = Counts.of(*imperfect(50, 4, 0.7), 4), Counts.of(*imperfect(50, 4, 0.5, seed=1), 4)
    both = Counts(*(np.stack([getattr(c, name) for c in (first, second)]) for name in ("hits", "support", "predicted")))
    for name in AVERAGES:
        assert both.averages()[name].tolist() == [float(c.averages()[name]) for c in (first, second)]


@given(
    arrays.arrays(np.float64, (20, 3), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0])),
    arrays.arrays(np.int64, 20, elements=st.integers(0, 1)),
)
def test_the_areas_are_scikit_learn_s_with_ties_and_none_without_images(
    probabilities: np.ndarray, truth: Indices
) -> None:
    areas = roc_areas(truth, probabilities)
    assert areas[2] is None
    for k in (0, 1):
        if 0 < (truth == k).sum() < 20:
            assert areas[k] == pytest.approx(roc_auc_score(truth == k, probabilities[:, k]))
        else:
            assert areas[k] is None


def test_the_bootstrap_spreads_as_drawing_whole_images_does() -> None:
    truth, predicted = imperfect(150, 5, 0.8)
    intervals = bootstrap_intervals(truth, predicted)
    random = np.random.default_rng(1)
    drawn = {name: [] for name in AVERAGES}
    for _ in range(2000):
        chosen = random.integers(0, len(truth), len(truth))
        for name, value in Counts.of(truth[chosen], predicted[chosen], 5).averages().items():
            drawn[name].append(float(value))
    for name in AVERAGES:
        interval = intervals[name]
        assert interval is not None
        low, high = np.quantile(drawn[name], [0.025, 0.975])
        assert interval[1] - interval[0] == pytest.approx(high - low, rel=0.1)


def test_about_95_of_100_bootstrap_intervals_hold_the_true_value() -> None:
    held = 0
    for seed in range(200):
        truth, predicted = imperfect(400, 4, 0.8, seed)
        interval = bootstrap_intervals(truth, predicted, seed)["f1_macro"]
        assert interval is not None
        held += interval[0] <= 0.85 <= interval[1]  # a quarter of the 20% that were drawn again are right by chance
    assert 180 <= held <= 198  # of a binomial of 0.95 this holds in all but one case of a thousand


@settings(max_examples=25)
@given(pairs)
def test_an_interval_holds_its_figure_and_stays_between_0_and_1(drawn: Indices) -> None:
    truth, predicted = drawn
    averages = Counts.of(truth, predicted, CLASSES).averages()
    for name, interval in bootstrap_intervals(truth, predicted).items():
        if np.array_equal(truth, predicted):
            assert interval is None
        else:
            assert interval is not None
            assert 0 <= interval[0] <= averages[name] <= interval[1] <= 1


def test_the_seed_decides_the_interval() -> None:
    truth, predicted = imperfect(150, 5, 0.8)
    assert bootstrap_intervals(truth, predicted, 1) == bootstrap_intervals(truth, predicted, 1)
    assert bootstrap_intervals(truth, predicted, 1) != bootstrap_intervals(truth, predicted, 2)


def test_more_images_give_narrower_intervals() -> None:
    def width(n: int) -> float:
        interval = bootstrap_intervals(*imperfect(n, 5, 0.8))["f1_macro"]
        assert interval is not None
        return interval[1] - interval[0]

    assert width(10_000) == pytest.approx(width(100) / 10, rel=0.3)
