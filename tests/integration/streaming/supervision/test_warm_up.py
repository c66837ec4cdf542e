"""Promises of `streaming.supervision.warm_up`: workers have the network before a stream needs it, and a failure is left
to the stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.inference.classifier import FusedClassifier
from sparkdl.models.registry import ModelVersion
from streaming.supervision.warm_up import warm_up

PATIENCE = 60.0  # seconds


@pytest.fixture
def new_workers(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark keeps workers by their environment: these have loaded nothing for another test."""
    monkeypatch.setitem(spark.sparkContext.environment, "OF_THIS_TEST", "warm-up")


@pytest.mark.usefixtures("new_workers")
def test_workers_have_the_network_and_keep_it(spark: SparkSession, model: ModelVersion) -> None:
    def loaded(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from sparkdl.networks.runtime import _SESSIONS

        for _ in batches:
            yield pa.RecordBatch.from_pydict({"networks": pa.array([len(_SESSIONS)], pa.int32())})

    thread = warm_up(spark, model.load(), DEFAULT_LIMITS)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    rows = spark.range(0, 2, 1, 2).mapInArrow(loaded, "networks int").collect()
    assert {row.networks for row in rows} == {1}


@pytest.mark.usefixtures("new_workers")
def test_a_network_that_fails_is_left_to_the_stream(spark: SparkSession, model: ModelVersion) -> None:
    classifier = model.load()
    assert isinstance(classifier, FusedClassifier)
    broken = replace(classifier.model, featurizer=replace(classifier.model.featurizer, load=lambda: b"no network"))
    thread = warm_up(spark, FusedClassifier(broken, lambda: classifier.pipeline), DEFAULT_LIMITS)
    thread.join(PATIENCE)
    assert not thread.is_alive()
