"""The Kafka source: one input record per message."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from sparkdl.formats.envelopes import RAW, Envelope
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.errors import describe_error
from streaming.sources.base import AfterRead, LabelFrom, Source
from streaming.spark_conf import KAFKA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.readwriter import DataStreamReader

    from streaming.failures import KnownError
    from streaming.kafka.admin import PartitionCounter

# Spark prefetches messages that do not exist yet, then asks for offsets on the same connection. The broker answers in
# order, so it first waits this long for messages.
_FETCH_WAIT_MS = 1


class KafkaSource(Source):
    """Messages of one topic, several topics, or all that match a pattern; ordered within each partition.

    Parameters
    ----------
    address
        The brokers and topics.
    config
        The settings of Kafka clients.
    starting_offsets
        Where a new stream starts: earliest, latest or Spark's JSON.
    min_partitions
        Tasks that read a micro-batch; by default one per core.
    fail_on_data_loss
        Whether the stream fails if messages were deleted before it read them.
    envelope
        How a message contains the image; None if its value is the image.
    """

    connector = KAFKA

    def __init__(
        self,
        address: KafkaAddress,
        config: ClientConfig | None = None,
        *,
        starting_offsets: str = "earliest",
        min_partitions: int | None = None,
        fail_on_data_loss: bool = True,
        envelope: Envelope | None = None,
    ) -> None:
        self._address = address
        self._config = config or ClientConfig()
        self._starting_offsets = starting_offsets
        self._min_partitions = min_partitions
        self._fail_on_data_loss = fail_on_data_loss
        self.envelope = envelope
        self._cluster_id = ""
        self._partitions: int | None = None

    @classmethod
    def from_address(
        cls,
        address: str,
        *,
        kafka_client: ClientConfig | None = None,
        label_from: LabelFrom = LabelFrom.NONE,
        after_read: AfterRead = AfterRead.KEEP,
        archive_dir: Path | None = None,
        ignore: Sequence[str] = (),
        starting_offsets: str = "earliest",
        min_partitions: int | None = None,
        fail_on_data_loss: bool = True,
        message: str = RAW,
    ) -> KafkaSource:
        """Return the source for `kafka://HOST:PORT/TOPIC` and the settings of a stream."""
        if label_from is LabelFrom.PARENT:
            raise RequestError("--label-from parent is for directories: omit it, messages have a label header")
        if after_read is not AfterRead.KEEP:
            raise RequestError(f"--after-read {after_read} is for directories: omit it, messages stay on the broker")
        if archive_dir is not None:
            raise RequestError("--archive-dir is for directories: omit it, messages stay on the broker")
        if ignore:
            raise RequestError("--ignore is for directories: omit it, messages have no file names")
        return cls(
            KafkaAddress.parse(address),
            kafka_client,
            starting_offsets=starting_offsets,
            min_partitions=min_partitions,
            fail_on_data_loss=fail_on_data_loss,
            envelope=Envelope.parse(message),
        )

    def check(self) -> None:
        from streaming.kafka.admin import AdminSession

        with AdminSession(self._address, self._config) as session:
            session.check_topics()
            self._partitions = session.partition_count()
            self._cluster_id = session.cluster_id()

    def identity(self) -> str:
        """Return the cluster's id with the topics: its brokers may move."""
        if not self._cluster_id:
            self.check()
        return f"kafka:{self._cluster_id}/{self._address.topic}"

    def open(
        self, spark: SparkSession, checkpoint: Path, batch_size: int, *, include_payload: bool = True
    ) -> DataFrame:
        return self._records(
            self._reader(spark)
            .option("kafka.fetch.max.wait.ms", _FETCH_WAIT_MS)
            .options(**self._config.spark_options())
            .option("maxOffsetsPerTrigger", batch_size)
            .option("minPartitions", self._min_partitions or spark.sparkContext.defaultParallelism)
        )

    def open_realtime(self, spark: SparkSession) -> DataFrame:
        """Return the rows of `open` for Spark's real-time mode: one task per partition, no batch size."""
        return self._records(self._reader(spark).options(**self._config.spark_options()))

    @property
    def partitions(self) -> int:
        """The number of partitions that the topics had at `check`."""
        if self._partitions is None:
            self.check()
        assert self._partitions is not None  # set by `check`
        return self._partitions

    def partition_counter(self) -> PartitionCounter:
        """Return a counter of the current partitions."""
        from streaming.kafka.admin import PartitionCounter

        return PartitionCounter(self._address, self._config)

    def _reader(self, spark: SparkSession) -> DataStreamReader:
        return (
            spark.readStream.format("kafka")
            .option("kafka.bootstrap.servers", self._address.servers)
            .option("subscribe" if self._address.topics else "subscribePattern", self._address.topic)
            .option("startingOffsets", self._starting_offsets)
            .option("failOnDataLoss", self._fail_on_data_loss)
            .option("includeHeaders", True)
        )

    def _records(self, reader: DataStreamReader) -> DataFrame:
        from streaming.sources.kafka_records import input_records

        with_attributes = self.envelope is not None and self.envelope.has_attributes
        return input_records(reader.load(), with_attributes=with_attributes)

    def describe_error(self, message: str) -> KnownError | None:
        return describe_error(message, str(self))

    def __str__(self) -> str:
        return str(self._address)
