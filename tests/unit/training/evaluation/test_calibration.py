"""Calibration figures against values worked out by hand, scikit-learn's, and classifiers of known calibration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from training.evaluation.calibration import BINS, calibration


def two_classes(confidences: list[float], right: list[bool]) -> dict:
    """The figures of predictions of class 0 with these confidences."""
    probabilities = np.array([[c, 1 - c] for c in confidences])
    truth = np.array([0 if r else 1 for r in right])
    return calibration(truth, np.zeros(len(truth), np.int64), probabilities)


def test_the_error_is_the_mean_gap_of_the_bins() -> None:
    # 0.95 thrice, right twice; 0.75 and 0.77 in one bin, both right: gaps 0.2833 and 0.24.
    metrics = two_classes([0.95, 0.95, 0.95, 0.75, 0.77], [True, True, False, True, True])
    assert metrics["ece"] == pytest.approx((3 * (0.95 - 2 / 3) + 2 * (1 - 0.76)) / 5)
    assert metrics["mean_confidence"] == pytest.approx(0.874)
    assert metrics["mean_confidence_right"] == pytest.approx((0.95 * 2 + 0.75 + 0.77) / 4)
    assert metrics["mean_confidence_wrong"] == pytest.approx(0.95)


def test_gaps_of_one_bin_cancel_and_those_of_two_do_not() -> None:
    assert two_classes([0.9, 0.9], [True, False])["ece"] == pytest.approx(0.4)
    assert two_classes([0.9, 0.6], [True, False])["ece"] == pytest.approx((0.1 + 0.6) / 2)


def test_the_bins_are_of_equal_width_and_hold_their_upper_edge() -> None:
    metrics = two_classes([0.6, 0.6 + 1e-9, 1.0], [True, False, True])
    bins = metrics["bins"]
    assert [bin_["from"] for bin_ in bins] == pytest.approx([b / BINS for b in range(BINS)])
    assert [bin_["to"] for bin_ in bins] == pytest.approx([(b + 1) / BINS for b in range(BINS)])
    assert {b: bin_["n"] for b, bin_ in enumerate(bins) if bin_["n"]} == {8: 1, 9: 1, 14: 1}
    assert bins[8] == pytest.approx({"from": 8 / 15, "to": 9 / 15, "n": 1, "mean_confidence": 0.6, "accuracy": 1.0})
    assert (bins[0]["mean_confidence"], bins[0]["accuracy"]) == (None, None)


def test_bins_of_equally_many_images_follow_the_confidences() -> None:
    # 30 confidences all within one bin of equal width, two in each of equally many.
    confidences = [0.94 + i * 0.002 for i in range(30)]
    right = [i % 2 == 0 for i in range(30)]
    metrics = two_classes(confidences, right)
    pairs = [abs(sum(confidences[i : i + 2]) - 1) for i in range(0, 30, 2)]
    assert metrics["ece_equal_mass"] == pytest.approx(sum(pairs) / 30)
    assert metrics["ece"] == pytest.approx(abs(sum(confidences) - 15) / 30)


def test_equal_confidences_share_a_bin_whatever_their_order() -> None:
    right = [True] * 15 + [False] * 15
    metrics = two_classes([0.8] * 30, right)
    assert metrics["ece_equal_mass"] == pytest.approx(0.3)
    assert two_classes([0.8] * 30, right[::-1])["ece_equal_mass"] == pytest.approx(0.3)


def test_the_brier_score_of_two_classes_is_twice_the_binary_one() -> None:
    assert two_classes([0.8, 0.6], [True, False])["brier"] == pytest.approx((2 * 0.2**2 + 2 * 0.6**2) / 2)
    assert two_classes([1.0], [True])["brier"] == pytest.approx(0)
    assert two_classes([1.0], [False])["brier"] == pytest.approx(2)


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 40))
def test_log_loss_and_brier_score_are_scikit_learn_s_and_the_definition_s(seed: int, classes: int, n: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(classes, 0.3), n)
    truth = random.integers(0, classes, n)
    metrics = calibration(truth, probabilities.argmax(axis=1), probabilities)
    assert metrics["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=range(classes)))
    one_hot = np.eye(classes)[truth]
    assert metrics["brier"] == pytest.approx(((probabilities - one_hot) ** 2).sum() / n)
    assert sum(bin_["n"] for bin_ in metrics["bins"]) == n
    assert 0 <= metrics["ece"] <= 1


def test_a_certain_mistake_has_a_finite_log_loss() -> None:
    assert two_classes([1.0], [False])["log_loss"] == pytest.approx(-np.log(np.finfo(float).eps))


@pytest.mark.parametrize("n", [50, 2000])
def test_a_calibrated_classifier_shows_the_error_that_chance_gives_it(n: int) -> None:
    random = np.random.default_rng(n)
    confidence = random.uniform(0.5, 1, n)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    errors = []
    for _ in range(200):
        truth = (random.random(n) >= confidence).astype(np.int64)
        errors.append(calibration(truth, np.zeros(n, np.int64), probabilities)["ece"])
    chance = calibration(truth, np.zeros(n, np.int64), probabilities)["ece_if_calibrated"]
    assert chance["mean"] == pytest.approx(np.mean(errors), rel=0.1)
    assert chance["p95"] == pytest.approx(np.quantile(errors, 0.95), rel=0.15)


def test_a_classifier_that_is_too_sure_shows_more_than_chance_gives() -> None:
    metrics = two_classes([0.99] * 200, [True] * 160 + [False] * 40)
    assert metrics["ece"] == pytest.approx(0.19)
    assert metrics["ece"] > 5 * metrics["ece_if_calibrated"]["p95"]
