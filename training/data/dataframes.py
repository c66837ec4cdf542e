"""Labelled images as DataFrame rows: encoded, or decoded with their class index."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.inference.classifier import DECODED, INPUT_RECORD, decode_rows
from sparkdl.spark.udf import arrow_udf
from sparkdl.system.file_uris import origin_of, path_of
from training.data.loading import Dataset, LabelledImage


def encoded_rows(spark: SparkSession, dataset: Dataset, tally: Path | None = None) -> DataFrame:
    """Return `dataset` as rows `id string, origin string, payload binary, label string`; the workers read the files.

    Parameters
    ----------
    tally
        A file to which the workers, on this machine, append a byte for each image that they read, as long as it exists.
    """
    table = pa.table(
        {
            "id": [image.name for image in dataset],
            "origin": [_origin(image, dataset) for image in dataset],
            "payload": pa.array([image.payload for image in dataset], pa.binary()),
            "label": [image.label for image in dataset],
        }
    )
    rows = spark.createDataFrame(table).repartition(spark.sparkContext.defaultParallelism)
    return rows.select("id", "origin", _payload(F.col("origin"), F.col("payload"), tally).alias("payload"), "label")


def _origin(image: LabelledImage, dataset: Dataset) -> str:
    return f"{dataset.address}#{image.name}" if image.path is None else origin_of(image.path.resolve())


def _payload(origins: Column, payloads: Column, tally: Path | None) -> Column:
    def read(origin: pa.Array, payload: pa.Array) -> pa.Array:
        if tally is not None:
            _count(tally, len(origin))
        return pa.array(
            [
                known.as_py() if known.is_valid else Path(path_of(where.as_py())).read_bytes()
                for where, known in zip(origin, payload, strict=True)
            ],
            pa.binary(),
        )

    return arrow_udf(read, "binary")(origins, payloads)


def _count(tally: Path, images: int) -> None:
    """Append a byte for each image, unless the file is gone; several processes may do so at once."""
    with suppress(FileNotFoundError):
        descriptor = os.open(tally, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(descriptor, bytes(images))
        finally:
            os.close(descriptor)


def image_rows(spark: SparkSession, dataset: Dataset, classes: Sequence[str], tally: Path | None = None) -> DataFrame:
    """Return decoded rows `id string, label double (class index), reason string, detail string, image`.

    Parameters
    ----------
    tally
        See `encoded_rows`.
    """
    return decode_rows(encoded_rows(spark, dataset, tally), "image").select(
        F.col(f"{INPUT_RECORD}.id").alias("id"),
        _index(F.col(f"{INPUT_RECORD}.label"), classes).alias("label"),
        f"{DECODED}.reason",
        f"{DECODED}.detail",
        "image",
    )


def _index(label: Column, classes: Sequence[str]) -> Column:
    return (F.array_position(F.array(*map(F.lit, classes)), label) - 1).cast("double")
