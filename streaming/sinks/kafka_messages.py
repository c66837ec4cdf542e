"""Results as Kafka messages: columns of a DataFrame."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from streaming.kafka.messages import JSON_TYPE, SCHEMA, Header
from streaming.schemas import PREDICTION

_MAX_DETAIL = 1000  # characters
_TIME = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"


def message_columns(topic: str, dead_topic: str, limit: int) -> list[Column]:
    """Return the columns of a result for Spark's Kafka sink: `topic`, `key`, `value`, `headers`.

    Create them once, not for each micro-batch: they take hundreds of calls to the JVM. `limit` is the maximum number of
    bytes of a dead letter.
    """
    dead = F.col("reason").isNotNull()
    options = {"timestampFormat": _TIME, "timeZone": "UTC", "ignoreNullFields": "false"}
    prediction = F.to_json(F.struct(*PREDICTION.names), options).cast("binary")
    return [
        F.when(dead, dead_topic).otherwise(topic).alias("topic"),
        F.col("id").cast("binary").alias("key"),
        F.when(dead, F.when(F.length("payload") <= limit, F.col("payload"))).otherwise(prediction).alias("value"),
        F.when(
            dead,
            _headers(
                {
                    Header.SCHEMA: F.lit(SCHEMA),
                    Header.ORIGIN: F.col("origin"),
                    Header.REASON: F.col("reason"),
                    Header.DETAIL: F.substring("detail", 1, _MAX_DETAIL),
                    Header.SIZE: F.col("size").cast("string"),
                    Header.SHA256: F.col("sha256"),
                    Header.LABEL: F.col("label"),
                    Header.PRODUCED_AT: F.date_format("produced_at", _TIME),
                    Header.FAILED_AT: F.date_format("failed_at", _TIME),
                    Header.BATCH_ID: F.col("batch_id").cast("string"),
                }
            ),
        )
        .otherwise(_headers({Header.SCHEMA: F.lit(SCHEMA), Header.CONTENT_TYPE: F.lit(JSON_TYPE)}))
        .alias("headers"),
    ]


def _headers(values: dict[Header, Column]) -> Column:
    """Return the array of the headers that have a value."""
    structs = (
        F.struct(F.lit(name.value).alias("key"), value.cast("binary").alias("value")) for name, value in values.items()
    )
    return F.filter(F.array(*structs), lambda header: header["value"].isNotNull())
