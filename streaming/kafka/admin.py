"""Administration of Kafka from the driver: inspection of the cluster, and creation of topics."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sparkdl.errors import RequestError, SparkdlError
from streaming.kafka.preflight import TIMEOUT, probe

if TYPE_CHECKING:
    from streaming.kafka.address import KafkaAddress
    from streaming.kafka.client_config import ClientConfig

CLIENT_ID = "sparkdl-admin"
"""The `client.id` of admin sessions, followed by a number, unless --kafka-config sets another."""
_numbers = itertools.count(1)

BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
"""The settings of a topic of images: otherwise a producer could set a record time that Spark cannot represent, which
ends every stream."""


class AdminSession:
    """An admin connection to the brokers at an address.

    Use it as a context manager, or `close` it.

    Raises
    ------
    SparkdlError
        If no broker answers, or it refuses the credentials; the message says why. Every method raises it too.
    """

    def __init__(self, address: KafkaAddress, config: ClientConfig) -> None:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        self._address = address
        _probe_any(address, config)
        options = {"client_id": f"{CLIENT_ID}-{next(_numbers)}", "bootstrap_timeout_ms": TIMEOUT * 1000}
        options |= config.python_options(KafkaAdminClient.DEFAULT_CONFIG)
        try:
            self.client = KafkaAdminClient(bootstrap_servers=address.servers.split(","), **options)
        except KafkaError as error:
            raise SparkdlError(
                f"Kafka at {address.servers} was reached but the admin client failed: {error}"
            ) from error

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def __enter__(self) -> AdminSession:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        from kafka.errors import KafkaError

        try:
            yield
        except KafkaError as error:
            raise SparkdlError(f"Kafka at {self._address.servers} refused a request: {error}") from error

    def cluster_id(self) -> str:
        """Return the id of the cluster, which does not change when its brokers move."""
        with self._asking():
            return str(self.client.describe_cluster()["cluster_id"])

    def partitions(self) -> dict[str, int]:
        """Return the number of partitions of each existing topic that the address names."""
        topics = self._address.topics
        with self._asking():
            found: list[dict[str, Any]] = self.client.describe_topics(list(topics) if topics else None)
        return {topic["name"]: len(topic["partitions"]) for topic in found if topic["error_code"] == 0}

    def partition_count(self) -> int:
        """Return the number of partitions of the topics; a pattern that Python cannot read counts as 0."""
        found = self.partitions()
        if self._address.topics is None:
            try:
                pattern = re.compile(self._address.topic)
            except re.error:  # Java's syntax has more features
                return 0
            found = {name: count for name, count in found.items() if pattern.fullmatch(name)}
        return sum(found.values())

    def check_topics(self) -> None:
        """Raise a RequestError if a topic that the address names is missing."""
        there = self.partitions()
        missing = [name for name in self._address.topics or () if name not in there]
        if missing:
            raise RequestError(f"no topic {' and no topic '.join(missing)} at {self._address.servers}: create it first")

    def ensure_topic(self, name: str, configs: Mapping[str, str]) -> None:
        """Create a topic if it is missing, with the brokers' default number of partitions and replicas."""
        from kafka.errors import TopicAlreadyExistsError

        with self._asking():
            if self.client.describe_topics([name])[0]["error_code"] == 0:
                return
            with suppress(TopicAlreadyExistsError):  # another client has created it in the meantime
                self.client.create_topics({name: {"configs": dict(configs)}}, wait_for_metadata=True)

    def max_message_bytes(self, topic: str) -> int:
        """Return the `max.message.bytes` of a topic."""
        from kafka.admin import ConfigResource, ConfigResourceType

        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        with self._asking():
            configs = self.client.describe_configs([resource], config_filter="all")["topic"][topic]
        return int(configs["max.message.bytes"]["value"])


class PartitionCounter:
    """Counts the partitions of topics with one admin session, which is reopened after an error.

    Parameters
    ----------
    address, config
        As for `AdminSession`.
    """

    def __init__(self, address: KafkaAddress, config: ClientConfig) -> None:
        self._address, self._config = address, config
        self._session: AdminSession | None = None

    def __call__(self) -> int:
        """Return the number of partitions, see `AdminSession.partition_count`.

        Raises
        ------
        SparkdlError
            If no broker answers.
        """
        try:
            self._session = self._session or AdminSession(self._address, self._config)
            return self._session.partition_count()
        except SparkdlError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None


def _probe_any(address: KafkaAddress, config: ClientConfig) -> None:
    """Probe the brokers until one can be reached, to report why none can or why that one does not answer."""
    reasons = []
    for server in address.servers.split(","):
        try:
            probe(server, config)
        except (OSError, OverflowError) as error:
            reasons.append(f"{server}: {getattr(error, 'strerror', None) or error}")
        else:
            return
    raise SparkdlError(f"no Kafka broker can be reached at {'; '.join(reasons)}")
