"""Labelled images as DataFrame rows: encoded, or decoded with their class index."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.inference.classifier import DECODED, INPUT_RECORD, decode_rows
from sparkdl.spark.udf import arrow_udf
from sparkdl.system.file_uris import origin_of, path_of
from training.data.loading import Dataset, LabelledImage


def encoded_rows(spark: SparkSession, dataset: Dataset) -> DataFrame:
    """Return `dataset` as rows `id string, origin string, payload binary, label string`; the workers read the files."""
    table = pa.table(
        {
            "id": [image.name for image in dataset],
            "origin": [_origin(image, dataset) for image in dataset],
            "payload": pa.array([image.payload for image in dataset], pa.binary()),
            "label": [image.label for image in dataset],
        }
    )
    rows = spark.createDataFrame(table).repartition(spark.sparkContext.defaultParallelism)
    return rows.select("id", "origin", _payload(F.col("origin"), F.col("payload")).alias("payload"), "label")


def _origin(image: LabelledImage, dataset: Dataset) -> str:
    return f"{dataset.address}#{image.name}" if image.path is None else origin_of(image.path.resolve())


def _payload(origins: Column, payloads: Column) -> Column:
    def read(origin: pa.Array, payload: pa.Array) -> pa.Array:
        return pa.array(
            [
                known.as_py() if known.is_valid else Path(path_of(where.as_py())).read_bytes()
                for where, known in zip(origin, payload, strict=True)
            ],
            pa.binary(),
        )

    return arrow_udf(read, "binary")(origins, payloads)


def image_rows(spark: SparkSession, dataset: Dataset, classes: Sequence[str]) -> DataFrame:
    """Return decoded rows `id string, label double (class index), reason string, detail string, image`."""
    return decode_rows(encoded_rows(spark, dataset), "image").select(
        F.col(f"{INPUT_RECORD}.id").alias("id"),
        _index(F.col(f"{INPUT_RECORD}.label"), classes).alias("label"),
        f"{DECODED}.reason",
        f"{DECODED}.detail",
        "image",
    )


def _index(label: Column, classes: Sequence[str]) -> Column:
    return (F.array_position(F.array(*map(F.lit, classes)), label) - 1).cast("double")
