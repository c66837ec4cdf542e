"""The row contracts: what a source gives, and the two kinds of rows that every encoded image ends as one of."""

from __future__ import annotations

from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

ENCODED = StructType(
    [
        StructField("id", StringType()),
        StructField("origin", StringType()),
        StructField("payload", BinaryType()),
        StructField("size", LongType()),
        StructField("label", StringType()),
        StructField("produced_at", TimestampType()),
    ]
)
"""`id` is stable across replays: the path relative to the watched directory. `origin` is a URI. `size` counts the
bytes of the encoded image, also where it is too long and `payload` holds its beginning only; it is null where the image
could not be read."""

PREDICTION = StructType(
    [
        StructField("id", StringType()),
        StructField("origin", StringType()),
        StructField("prediction", StringType()),
        StructField("confidence", DoubleType()),
        StructField("probabilities", MapType(StringType(), DoubleType())),
        StructField("label", StringType()),
        StructField("needs_review", BooleanType()),
        StructField("model", StringType()),
        StructField("produced_at", TimestampType()),
        StructField("predicted_at", TimestampType()),
        StructField("batch_id", LongType()),
    ]
)

DEAD_LETTER = StructType(
    [
        StructField("id", StringType()),
        StructField("origin", StringType()),
        StructField("reason", StringType()),
        StructField("detail", StringType()),
        StructField("payload", BinaryType()),
        StructField("size", LongType()),
        StructField("sha256", StringType()),
        StructField("label", StringType()),
        StructField("produced_at", TimestampType()),
        StructField("failed_at", TimestampType()),
        StructField("batch_id", LongType()),
    ]
)
"""`reason` is one of `sparkdl.images.rejection.Reason`; `size` counts bytes; `sha256` is hexadecimal, of the
payload.
"""
