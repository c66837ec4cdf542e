"""The sinks: where the outcomes of each micro-batch are written, and what each promises."""

from __future__ import annotations

from pyspark.sql import SparkSession

from streaming.client_config import ClientConfig
from streaming.kafka import KafkaAddress, is_kafka, look_at
from streaming.settings import StreamSettings
from streaming.sinks.base import Sink
from streaming.sinks.console import ConsoleSink
from streaming.sinks.kafka import KafkaSink
from streaming.sinks.parquet import ParquetSink, absolute, parquet_directory


def check_sink(settings: StreamSettings) -> None:
    """Raises a RequestError if there can be no such sink."""
    if is_kafka(settings.sink):
        _ = KafkaAddress.parse(settings.sink).single_topic
    elif settings.sink != "console":
        parquet_directory(settings.sink)


def open_sink(spark: SparkSession, settings: StreamSettings) -> Sink:
    """The sink that `settings.sink` names: `parquet:DIR`, a bare directory, `kafka://HOST:PORT/TOPIC` or `console`.

    Raises
    ------
    RequestError
        If the address has another form.
    """
    if settings.sink == "console":
        return ConsoleSink()
    if is_kafka(settings.sink):
        return KafkaSink(
            KafkaAddress.parse(settings.sink), ClientConfig.read(settings.kafka_config), settings.max_bytes
        )
    return ParquetSink(spark, parquet_directory(settings.sink))


def sink_identity(settings: StreamSettings) -> str:
    """How the sink is written into a checkpoint's fingerprint: the same sink gives the same words."""
    if settings.sink == "console":
        return settings.sink
    if is_kafka(settings.sink):
        address = KafkaAddress.parse(settings.sink)
        cluster = look_at(address, ClientConfig.read(settings.kafka_config))
        return f"kafka:{cluster.cluster_id}/{address.single_topic}"
    return f"parquet:{absolute(parquet_directory(settings.sink))}"
