"""The sinks: where the outcomes of each micro-batch are written, and what each promises."""

from __future__ import annotations

from pyspark.sql import SparkSession

from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import look_at
from streaming.kafka.client_config import ClientConfig
from streaming.settings import StreamSettings
from streaming.sinks.address import SinkKind, absolute, directory_of, kind_of
from streaming.sinks.base import Sink
from streaming.sinks.console import ConsoleSink
from streaming.sinks.delta import DeltaSink
from streaming.sinks.kafka import KafkaSink
from streaming.sinks.parquet import ParquetSink


def check_sink(settings: StreamSettings) -> None:
    """Raises a RequestError if there can be no such sink."""
    match kind_of(settings.sink):
        case SinkKind.KAFKA:
            _ = KafkaAddress.parse(settings.sink).single_topic
        case SinkKind.PARQUET | SinkKind.DELTA:
            directory_of(settings.sink)
        case SinkKind.CONSOLE:
            pass


def open_sink(spark: SparkSession, settings: StreamSettings) -> Sink:
    """The sink that `settings.sink` names (`streaming.sinks.address.FORMS`).

    Raises
    ------
    RequestError
        If the address has another form, or the session lacks what the sink needs.
    """
    match kind_of(settings.sink):
        case SinkKind.CONSOLE:
            return ConsoleSink()
        case SinkKind.KAFKA:
            address = KafkaAddress.parse(settings.sink)
            return KafkaSink(address, ClientConfig.read(settings.kafka_config), settings.max_bytes)
        case SinkKind.DELTA:
            return DeltaSink(spark, directory_of(settings.sink))
        case SinkKind.PARQUET:
            return ParquetSink(spark, directory_of(settings.sink))


def sink_identity(settings: StreamSettings) -> str:
    """How the sink is written into a checkpoint's fingerprint: the same sink gives the same words."""
    kind = kind_of(settings.sink)
    match kind:
        case SinkKind.CONSOLE:
            return kind.value
        case SinkKind.KAFKA:
            address = KafkaAddress.parse(settings.sink)
            cluster = look_at(address, ClientConfig.read(settings.kafka_config))
            return f"kafka:{cluster.cluster_id}/{address.single_topic}"
        case SinkKind.PARQUET | SinkKind.DELTA:
            return f"{kind}:{absolute(directory_of(settings.sink))}"
