"""The row contracts: the input record, and the prediction or dead letter that it becomes."""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
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

INPUT_RECORD = StructType(
    [
        StructField("id", StringType()),
        StructField("origin", StringType()),
        StructField("payload", BinaryType()),
        StructField("size", LongType()),
        StructField("label", StringType()),
        StructField("produced_at", TimestampType()),
    ]
)
"""An encoded image. `id` is stable across replays, such as a path relative to the watched directory. `origin` is a URI.
`size` is the length of the encoded image in bytes, even if the image is too long and `payload` holds only its first
bytes. It is null if the image could not be read."""

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
        StructField("labels", ArrayType(StringType())),
    ]
)
"""A classified image. `confidence` and the values of `probabilities` are in 0..1. `labels` is null unless an
image can have several classes."""

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
"""An image without a prediction. `reason` is one of `sparkdl.images.rejection.Reason`; `size` is in bytes; `sha256` is
the hexadecimal digest of the payload."""
