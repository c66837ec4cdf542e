"""The results of input records: prediction rows and dead-letter rows."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from sparkdl.formats.envelopes import Envelope
from sparkdl.images.rejection import Limits
from sparkdl.inference.classifier import Classifier
from streaming.schemas import DEAD_LETTER, PREDICTION

UNREADABLE = "the image was gone or could not be read"
"""The detail of a dead letter whose bytes and size are unknown."""


def results(
    records: DataFrame,
    classifier: Classifier,
    model: str,
    review_below: float,
    limits: Limits,
    *,
    read_in_workers: bool = False,
    envelope: Envelope | None = None,
    top_k: int | None = None,
) -> DataFrame:
    """Return one row per input record, with the columns of both contracts; `reason` is null for predictions.

    `predicted_at` and `failed_at` are when the image was scored or rejected. `batch_id` is null in a batch query.

    Parameters
    ----------
    records
        Rows of `streaming.schemas.INPUT_RECORD`, batch or streaming.
    model
        The model version to name in predictions.
    review_below
        The confidence below which a prediction needs review, 0..1.
    read_in_workers, envelope, top_k
        As for `sparkdl.inference.classifier.Classifier.classify`.
    """
    classified = classifier.classify(records, limits, read_in_workers=read_in_workers, envelope=envelope, top_k=top_k)
    return shape_results(classified, F.lit(model), F.lit(review_below))


def shape_results(classified: DataFrame, model: Column, review_below: Column) -> DataFrame:
    """Return the rows of `results`, given those of `sparkdl.inference.classifier.Classifier.classify`."""
    failed = F.col("reason").isNotNull()
    payload = F.when(F.length("payload") == F.col("size"), F.col("payload"))  # else only its beginning was read
    return classified.select(
        "id",
        "origin",
        "prediction",
        "confidence",
        "probabilities",
        "labels",
        "label",
        (F.col("confidence") < review_below).alias("needs_review"),
        model.alias("model"),
        "produced_at",
        F.col("scored_at").alias("predicted_at"),
        F.col("scored_at").alias("failed_at"),
        "batch_id",
        "reason",
        F.when(failed & F.col("size").isNull(), UNREADABLE).otherwise(F.col("detail")).alias("detail"),
        payload.alias("payload"),
        "size",
        F.sha2(payload, 256).alias("sha256"),
    )


def predictions(rows: DataFrame, batch_id: int) -> DataFrame:
    """Return the results of a micro-batch that are predictions, as rows of `streaming.schemas.PREDICTION`."""
    return _part(rows, "reason is null", PREDICTION, batch_id)


def dead_letters(rows: DataFrame, batch_id: int) -> DataFrame:
    """Return the results of a micro-batch that are dead letters, as rows of `streaming.schemas.DEAD_LETTER`."""
    return _part(rows, "reason is not null", DEAD_LETTER, batch_id)


def _part(rows: DataFrame, condition: str, schema: StructType, batch_id: int) -> DataFrame:
    return rows.where(condition).withColumn("batch_id", F.lit(batch_id).cast("long")).select(*schema.names)
