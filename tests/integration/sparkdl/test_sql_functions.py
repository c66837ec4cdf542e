"""Promises of `register_image_function`: a classifier as a function of SQL, in a batch and in a streaming query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from photographs import daisy
from pyspark.ml import PipelineModel
from pyspark.ml.feature import VectorSlicer
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from queries import streamed

from sparkdl import register_image_function
from sparkdl.errors import RequestError
from sparkdl.models.registry import ModelVersion, Registry
from training.data.loading import Dataset


@pytest.fixture
def records(spark: SparkSession, drawn: Dataset) -> DataFrame:
    """Twelve drawn digits, a file that is no image, and null."""
    contents = [bytearray(image.read()) for image in drawn.images[:12]]
    rows = [*enumerate(contents), (12, bytearray(b"no image")), (13, None)]
    return spark.createDataFrame(rows, "id int, content binary")


def test_rows_are_those_of_the_classifier(
    spark: SparkSession, records: DataFrame, registry: Registry, model: ModelVersion
) -> None:
    register_image_function(spark, "classify", str(registry.path))
    records.createOrReplaceTempView("images")

    rows = spark.sql("SELECT id, classify(content) AS c FROM images ORDER BY id").collect()

    columns = ("prediction", "confidence", "probabilities", "reason", "detail")
    given = records.select("id", F.col("content").alias("payload"), F.lit("x").alias("origin"))
    expected = model.load().classify(given).orderBy("id").collect()
    assert [[row.c[name] for name in columns] for row in rows] == [[row[name] for name in columns] for row in expected]
    assert [row.c.reason for row in rows[10:]] == [None, None, "unsupported_format", "empty"]


def test_a_streaming_query_gives_the_same(
    spark: SparkSession, records: DataFrame, model: ModelVersion, tmp_path: Path
) -> None:
    classify = register_image_function(spark, "classify", model.load().pipeline)

    def apply(stream: DataFrame) -> DataFrame:
        stream.createOrReplaceTempView("arriving")
        return spark.sql("SELECT id, classify(content) AS c FROM arriving")

    rows: list[Any] = streamed(records, apply, tmp_path)
    batch = records.select("id", classify("content").alias("c")).orderBy("id").collect()
    assert sorted(rows, key=lambda row: row.id) == batch


def test_imagenet_needs_no_model(spark: SparkSession) -> None:
    register_image_function(spark, "imagenet", "imagenet")
    spark.createDataFrame([(bytearray(daisy()),)], "content binary").createOrReplaceTempView("photographs")
    (row,) = spark.sql("SELECT imagenet(content).prediction AS prediction FROM photographs").collect()
    assert row.prediction == "daisy"


def test_a_model_of_other_stages_and_a_model_that_is_missing_are_refused(spark: SparkSession) -> None:
    other = PipelineModel([VectorSlicer(inputCol="a", outputCol="b", indices=[0])])
    with pytest.raises(RequestError, match="classify: expected a model with the stages of a recipe"):
        register_image_function(spark, "classify", other)
    with pytest.raises(RequestError, match="no such model: nowhere"):
        register_image_function(spark, "classify", "nowhere")
