"""Promises of `sparkdl.transformers.temperature_scaling`: probabilities surer or less sure, and the same prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pyspark.ml.linalg import DenseVector, Vectors, VectorUDT
from pyspark.sql import SparkSession
from pyspark.sql.types import StructField, StructType

from sparkdl import TemperatureScaling
from sparkdl.errors import RequestError

SCHEMA = StructType([StructField("probability", VectorUDT())])


def scaled(spark: SparkSession, temperature: float, *probabilities: list[float] | None) -> list[DenseVector | None]:
    rows = [(None if p is None else Vectors.dense(p),) for p in probabilities]
    frame = TemperatureScaling(temperature=temperature).transform(spark.createDataFrame(rows, SCHEMA).coalesce(1))
    assert frame.schema == SCHEMA
    return [row.probability for row in frame.collect()]


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_it_is_the_softmax_of_logits_over_the_temperature(spark: SparkSession, temperature: float) -> None:
    logits = np.random.default_rng(1).normal(0, 3, (5, 10))
    found = scaled(spark, temperature, *(softmax(row).tolist() for row in logits))
    for row, vector in zip(logits, found, strict=True):
        assert vector is not None
        np.testing.assert_allclose(vector.toArray(), softmax(row / temperature), rtol=1e-9)


def test_a_sure_classifier_stays_sure_at_any_temperature(spark: SparkSession) -> None:
    for temperature in (1e-6, 0.01, 100.0):
        (sure, hardly) = scaled(spark, temperature, [0.0, 1.0, 0.0], [1e-200, 1 - 1e-12, 1e-12])
        assert sure == Vectors.dense([0, 1, 0])
        assert hardly is not None
        assert hardly.toArray().sum() == pytest.approx(1)
        assert hardly.toArray().argmax() == 1


def test_null_stays_null(spark: SparkSession) -> None:
    assert scaled(spark, 2.0, None, [0.5, 0.5]) == [None, Vectors.dense([0.5, 0.5])]


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    stage = TemperatureScaling(probabilityCol="p", temperature=0.7)
    stage.write().save((tmp_path / "stage").as_uri())
    loaded = TemperatureScaling.load((tmp_path / "stage").as_uri())
    assert (loaded.getProbabilityCol(), loaded.getTemperature()) == ("p", 0.7)


@pytest.mark.parametrize("temperature", [0, -1, float("inf"), float("nan")])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(RequestError, match="expected temperature above 0"):
        TemperatureScaling(temperature=temperature)
