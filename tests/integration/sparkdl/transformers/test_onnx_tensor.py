"""Promises of OnnxTransformer: columns go in as tensors, tensors come out as columns, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from image_networks import identity_network, table_network
from pyspark.ml import PipelineModel
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    FloatType,
    LongType,
    StructField,
    StructType,
)
from queries import streamed

from sparkdl import OnnxTransformer
from sparkdl.errors import RequestError
from sparkdl.models.allowlist import check_pipeline

ROWS = [([1.0, 5.0, 2.0], 10), ([0.5, 0.0, -1.0], -1), (None, 3), ([7.0, 8.0, 9.0], None)]
MAPPINGS = {
    "inputMapping": {"features": "x", "offset": "y:0"},
    "outputMapping": {"sum": "total", "best": "winner", "outer": "products"},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return table_network(tmp_path_factory.mktemp("onnx") / "table.onnx")


@pytest.fixture
def frame(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(
        [(row, *values) for row, values in enumerate(ROWS)], "id long, features array<double>, offset int"
    )


def values(rows: list[Any]) -> list[tuple[Any, ...]]:
    return [(row.total, row.winner, row.products) for row in sorted(rows, key=lambda row: row.id)]


EXPECTED = [
    ([11.0, 15.0, 12.0], 1, [[1.0, 5.0, 2.0], [5.0, 25.0, 10.0], [2.0, 10.0, 4.0]]),
    ([-0.5, -1.0, -2.0], 0, [[0.25, 0.0, -0.5], [0.0, 0.0, -0.0], [-0.5, -0.0, 1.0]]),
    (None, None, None),
    (None, None, None),
]


@pytest.mark.parametrize("size", [1, 32])
def test_each_row_gets_its_outputs_and_null_where_an_input_is_null(frame: DataFrame, model: Path, size: int) -> None:
    result = OnnxTransformer(model=str(model), **MAPPINGS, batchSize=size).transform(frame)

    assert result.columns == ["id", "features", "offset", "total", "winner", "products"]
    assert result.schema["total"].dataType == ArrayType(FloatType())
    assert result.schema["winner"].dataType == LongType()
    assert result.schema["products"].dataType == ArrayType(ArrayType(FloatType()))
    assert values(result.collect()) == EXPECTED


def test_rows_without_any_value_are_null(frame: DataFrame, model: Path) -> None:
    result = OnnxTransformer(model=str(model), **MAPPINGS).transform(frame.where("id = 2"))
    assert values(result.collect()) == [(None, None, None)]


def test_vectors_are_taken_dense_and_sparse(spark: SparkSession, model: Path) -> None:
    schema = StructType([StructField("id", LongType()), StructField("features", VectorUDT())])
    vectors = [Row(id=0, features=Vectors.dense(1, 5, 2)), Row(id=1, features=Vectors.sparse(3, {1: 4.0}))]
    frame = spark.createDataFrame(vectors, schema).withColumn("offset", F.lit(1))
    rows = OnnxTransformer(model=str(model), **MAPPINGS).transform(frame).orderBy("id").collect()
    assert [row.total for row in rows] == [[2.0, 6.0, 3.0], [1.0, 5.0, 1.0]]


def test_arrays_of_arrays_are_tensors_of_more_dimensions(spark: SparkSession, tmp_path: Path) -> None:
    path = identity_network(tmp_path / "x.onnx", ["N", 2, 1, 3])
    frame = spark.range(2).select("id", F.expr("array(array(array(id, 1, 2)), array(array(3, 4, 5)))").alias("x"))
    transformer = OnnxTransformer(model=str(path), inputMapping={"x": "x"}, outputMapping={"y": "y"})
    rows = transformer.transform(frame).orderBy("id").collect()
    assert [row.y for row in rows] == [[[[row, 1.0, 2.0]], [[3.0, 4.0, 5.0]]] for row in (0.0, 1.0)]


def test_a_stream_and_a_loaded_stage_give_the_rows_of_a_batch(frame: DataFrame, model: Path, tmp_path: Path) -> None:
    transformer = OnnxTransformer(model=str(model), **MAPPINGS)
    transformer.write().save(f"{tmp_path}/stage")
    PipelineModel([transformer]).write().save(f"{tmp_path}/pipeline")
    check_pipeline("pipeline", tmp_path / "pipeline")

    loaded = OnnxTransformer.load(f"{tmp_path}/stage")

    assert loaded.getOutputMapping() == MAPPINGS["outputMapping"]
    assert values(streamed(frame, loaded.transform, tmp_path)) == EXPECTED


def test_arrays_of_different_lengths_are_an_error_that_names_the_column(spark: SparkSession, model: Path) -> None:
    frame = spark.createDataFrame([([1.0, 2.0], 1), ([1.0, 2.0, 3.0], 1)], "features array<double>, offset int")
    with pytest.raises(Exception, match="column features: expected arrays of one length, received lengths 2 to 3"):
        OnnxTransformer(model=str(model), **MAPPINGS).transform(frame.coalesce(1)).collect()


def test_arrays_of_a_wrong_length_are_an_error_that_states_it(spark: SparkSession, model: Path) -> None:
    frame = spark.createDataFrame([([1.0, 2.0], 1)], "features array<double>, offset int")
    with pytest.raises(Exception, match=r"the network fails on rows of x \[2\], y \[\]"):
        OnnxTransformer(model=str(model), **MAPPINGS).transform(frame).collect()


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"inputMapping": {"features": "x"}}, "none is mapped to y"),
        ({"inputMapping": {"features": "x", "offset": "z"}}, "unknown input tensor 'z'"),
        (
            {"inputMapping": {"feature": "x", "offset": "y"}},
            "expected a column 'feature', received columns id",
        ),
        ({"outputMapping": {"total": "sum"}}, "unknown output tensor 'total'"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused(
    frame: DataFrame, model: Path, params: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        OnnxTransformer(**{"model": str(model), **MAPPINGS, **params}).transform(frame)


def test_what_is_no_mapping_is_refused(spark: SparkSession) -> None:
    with pytest.raises(RequestError, match="expected a mapping of columns and tensors"):
        OnnxTransformer(inputMapping={})
    with pytest.raises(RequestError, match="expected batchSize of at least 1, received 0"):
        OnnxTransformer(batchSize=0)
