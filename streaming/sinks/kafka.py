"""The Kafka sink: predictions on a topic as JSON, dead letters on one beside it as the bytes they came as."""

from __future__ import annotations

from collections.abc import Callable

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import admin, largest_message, make_topic
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX, JSON_TYPE, SCHEMA, Header
from streaming.schemas import PREDICTION
from streaming.sinks.base import Sink, Written, always

_OVERHEAD = 64 * 1024  # bytes that the key and headers of a message take at the most
_LONGEST_DETAIL = 1000  # characters
_COUNTS = "counts"
_TIME = "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"


class KafkaSink(Sink):
    """Messages keyed by `id`, at least once: a compacted topic or a reader that keys by `id` sees each once.

    Predictions go to `TOPIC`, dead letters to `TOPIC.dead-letters`, both in one pass; topics that are missing are
    made. A micro-batch that Spark repeats is sent again. The bytes of a dead letter that are more than its topic takes
    (`max.message.bytes`) are left out, which its `size` tells; of a topic made here that is never so.

    Parameters
    ----------
    address
        With the name of one topic.
    config
        Of Kafka's clients.
    max_bytes
        Encoded bytes an image at the most: what a dead letter can have.
    """

    def __init__(self, address: KafkaAddress, config: ClientConfig, max_bytes: int) -> None:
        self._address = address
        self._config = config
        self._topic = address.single_topic
        self._dead_topic = self._topic + DEAD_LETTERS_SUFFIX
        self._largest = max_bytes + _OVERHEAD

    def open(self, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        with admin(self._address, self._config) as client:
            make_topic(client, self._topic, {})
            make_topic(client, self._dead_topic, {"max.message.bytes": str(self._largest)})
            limit = largest_message(client, self._dead_topic) - _OVERHEAD
        self._columns = _message(self._topic, self._dead_topic, limit)

    def write(self, rows: DataFrame, batch_id: int) -> Written | None:
        counted = rows.observe(_COUNTS, F.count(F.lit(1)).alias("images"), F.count("reason").alias("failed"))
        counted.persist(StorageLevel.MEMORY_AND_DISK)  # evaluated by the sending, and counted while it is
        try:
            (
                counted.withColumn("batch_id", F.lit(batch_id).cast("long"))
                .select(self._columns)
                .write.format("kafka")
                .options(**self._config.spark_options())
                .option("kafka.bootstrap.servers", self._address.servers)
                .option("kafka.max.request.size", max(self._largest, 1 << 20))
                .option("kafka.buffer.memory", max(2 * self._largest, 32 << 20))
                .save()
            )
            total, failed = _counts_of(counted)
        finally:
            counted.unpersist()
        return Written(total - failed, failed)


def _counts_of(counted: DataFrame) -> tuple[int, int]:
    """Images, and those of them that failed, of rows that were persisted and evaluated.

    An `Observation` would be told at the end of an action, and hears of none that Kafka's sink does.
    """
    found = counted._jdf.queryExecution().observedMetrics().get(_COUNTS)
    return (found.get().getLong(0), found.get().getLong(1)) if found.isDefined() else (0, 0)


def _message(topic: str, dead_topic: str, limit: int) -> list[Column]:
    """An outcome as what Spark's Kafka sink takes: `topic, key, value, headers`; `limit`: bytes of a dead letter.

    To be made once, not for each micro-batch: it is hundreds of calls to the JVM.
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
                    Header.DETAIL: F.substring("detail", 1, _LONGEST_DETAIL),
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
    """The headers that have a value."""
    structs = (
        F.struct(F.lit(name.value).alias("key"), value.cast("binary").alias("value")) for name, value in values.items()
    )
    return F.filter(F.array(*structs), lambda header: header["value"].isNotNull())
