"""The Kafka sink: predictions as JSON on one topic, dead letters as the original bytes on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sparkdl.images.rejection import DEFAULT_LIMITS
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.errors import describe_error
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX
from streaming.sinks.base import DirectSink, always
from streaming.spark_conf import KAFKA

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.readwriter import DataStreamWriter

    from streaming.failures import KnownError
    from streaming.kafka.admin import AdminSession
    from streaming.readers.base import Reader

_OVERHEAD = 64 * 1024  # maximum bytes of the key and headers of a message


class KafkaSink(DirectSink):
    """Messages keyed by `id`, at least once. A compacted topic, or a reader that deduplicates by `id`, has each once.

    Predictions go to `TOPIC`, dead letters to `TOPIC.dead-letters`, both in one pass; missing topics are created. A
    micro-batch that Spark repeats is sent again. If a dead letter is larger than its topic allows
    (`max.message.bytes`), its bytes are left out, which its `size` shows. A topic that the sink creates allows all of
    them.

    Parameters
    ----------
    address
        The address of one topic.
    config
        The settings of Kafka clients.
    max_bytes
        Maximum encoded bytes of an image, and therefore of a dead letter.
    """

    connector = KAFKA

    def __init__(
        self, address: KafkaAddress, config: ClientConfig | None = None, max_bytes: int = DEFAULT_LIMITS.max_bytes
    ) -> None:
        self._address = address
        self._config = config or ClientConfig()
        self._topic = address.single_topic
        self._dead_topic = self._topic + DEAD_LETTERS_SUFFIX
        self._max_message = max_bytes + _OVERHEAD
        self._cluster_id = ""
        self._session: AdminSession | None = None
        """Opened by the first call of `identity` or `open` and shared by both: one session per start."""

    @classmethod
    def from_address(
        cls,
        address: str,
        *,
        kafka_client: ClientConfig | None = None,
        max_bytes: int = DEFAULT_LIMITS.max_bytes,
    ) -> KafkaSink:
        """Return the sink for `kafka://HOST:PORT/TOPIC` and the settings of a stream."""
        return cls(KafkaAddress.parse(address), kafka_client, max_bytes)

    def identity(self) -> str:
        """Return the cluster's id with the topic: its brokers may move."""
        self._cluster_id = self._cluster_id or self._admin().cluster_id()
        return f"kafka:{self._cluster_id}/{self._topic}"

    def open(self, spark: SparkSession, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        from streaming.sinks.kafka_messages import message_columns

        session = self._admin()
        session.ensure_topic(self._topic, {})
        session.ensure_topic(self._dead_topic, {"max.message.bytes": str(self._max_message)})
        limit = session.max_message_bytes(self._dead_topic) - _OVERHEAD
        self.close()
        self._columns = message_columns(self._topic, self._dead_topic, limit)

    def writer(self, results: DataFrame) -> DataStreamWriter:
        return (
            results.select(self._columns)
            .writeStream.format("kafka")
            .options(**self._config.spark_options())
            .option("kafka.bootstrap.servers", self._address.servers)
            .option("kafka.max.request.size", max(self._max_message, 1 << 20))
            .option("kafka.buffer.memory", max(2 * self._max_message, 32 << 20))
        )

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def reader(self) -> Reader:
        from streaming.readers.kafka import KafkaReader

        return KafkaReader(self._address, self._config)

    def describe_error(self, message: str) -> KnownError | None:
        return describe_error(message, str(self))

    def _admin(self) -> AdminSession:
        from streaming.kafka.admin import AdminSession

        self._session = self._session or AdminSession(self._address, self._config)
        return self._session

    def __str__(self) -> str:
        return str(self._address)
