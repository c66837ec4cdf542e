"""Promises of `training.fitting.thresholds`: a temperature that calibrates the confidence, and a review threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

from sparkdl import TemperatureScaling
from training.evaluation.calibration import calibration
from training.fitting.thresholds import HoldoutPredictions


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def honest(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and classes drawn with the probabilities that they stand for."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 4))
    truth = (softmax(logits).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits, truth


@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_the_temperature_undoes_over_and_underconfidence(factor: float) -> None:
    logits, truth = honest(20_000)
    holdout = HoldoutPredictions(truth, softmax(logits * factor))
    assert holdout.temperature() == pytest.approx(factor, rel=0.05)
    scaled = holdout.scaled(holdout.temperature()).probabilities
    found = calibration(truth, scaled.argmax(axis=1), scaled)
    assert found["ece"] < found["ece_if_calibrated"]["p95"] * 1.5


def test_probabilities_of_0_are_accepted() -> None:
    holdout = HoldoutPredictions(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isfinite(holdout.log_loss())
    assert holdout.temperature() > 1


def test_it_scales_as_the_stage_does(spark: SparkSession) -> None:
    logits, truth = honest(5)
    probabilities = softmax(logits)
    rows = spark.createDataFrame([(i, Vectors.dense(row)) for i, row in enumerate(probabilities)], ["i", "p"])
    stage = TemperatureScaling(probabilityCol="p", temperature=0.4)
    found = [row.p.toArray() for row in stage.transform(rows).orderBy("i").collect()]
    np.testing.assert_allclose(HoldoutPredictions(truth, probabilities).scaled(0.4).probabilities, found)


CONFIDENCES = st.lists(st.tuples(st.sampled_from([0.35, 0.4, 0.5, 0.7, 0.8, 0.9, 0.99]), st.booleans()), min_size=1)


def answers(given_: list[tuple[float, bool]]) -> HoldoutPredictions:
    probabilities = np.array([[confidence, *([(1 - confidence) / 3] * 3)] for confidence, _ in given_])
    return HoldoutPredictions(np.array([int(not right) for _, right in given_]), probabilities)


@given(CONFIDENCES, st.sampled_from([0.0, 0.1, 0.5]))
def test_the_threshold_is_the_lowest_that_keeps_the_error_rate(given_: list[tuple[float, bool]], rate: float) -> None:
    def errors(below: float) -> float:
        accepted = [right for confidence, right in given_ if confidence >= below]
        return sum(not right for right in accepted) / len(accepted) if accepted else 0.0

    found = answers(given_).threshold(rate)
    assert errors(found.confidence) <= rate
    assert found.coverage == sum(confidence >= found.confidence for confidence, _ in given_) / len(given_)
    assert found.images == len(given_)
    lower = {confidence for confidence, _ in given_ if 0.5 <= confidence < found.confidence}
    assert all(errors(confidence) > rate for confidence in lower)
    assert found.confidence in {1.0, *(confidence for confidence, _ in given_)}
    assert found.confidence >= 0.5


def test_the_least_confident_hundredth_is_reviewed_even_if_no_prediction_is_wrong() -> None:
    found = answers([(0.6 + i / 1000, True) for i in range(400)]).threshold(0.01)
    assert found.confidence == pytest.approx(0.603)
    assert found.coverage == pytest.approx(397 / 400)


def test_a_confidence_that_all_images_share_needs_no_review() -> None:
    assert answers([(0.9, True)] * 500).threshold(0.01).coverage == 1
