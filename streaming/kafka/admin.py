"""Administration of Kafka from the driver: what the brokers have, and topics that are created."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sparkdl.errors import RequestError, SparkdlError
from streaming.kafka.preflight import TIMEOUT, probe

if TYPE_CHECKING:
    from streaming.kafka.address import KafkaAddress
    from streaming.kafka.client_config import ClientConfig

CLIENT_ID = "sparkdl-admin"
"""How brokers know the sessions of this module, with a number, unless --kafka-config names another `client.id`."""
_numbers = itertools.count(1)

BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
"""For a topic of images: a producer may set a record's time to one that Spark cannot hold, which ends every stream."""


class AdminSession:
    """A connection to the administration of the brokers at an address.

    Use it as a context manager, or `close` it.

    Raises
    ------
    SparkdlError
        If no broker answers, or not to these credentials; says which and why. Each method raises it too.
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
            raise SparkdlError(f"Kafka at {address.servers} was reached but cannot be used: {error}") from error

    def close(self) -> None:
        """End the connection."""
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
            raise SparkdlError(f"Kafka at {self._address.servers} refuses: {error}") from error

    def cluster_id(self) -> str:
        """Return the id of the cluster, which stays the same when its brokers move."""
        with self._asking():
            return str(self.client.describe_cluster()["cluster_id"])

    def partitions(self) -> dict[str, int]:
        """Return the number of partitions of each topic that the address names and that exists."""
        topics = self._address.topics
        with self._asking():
            found: list[dict[str, Any]] = self.client.describe_topics(list(topics) if topics else None)
        return {topic["name"]: len(topic["partitions"]) for topic in found if topic["error_code"] == 0}

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
            with suppress(TopicAlreadyExistsError):  # created by another client in between
                self.client.create_topics({name: {"configs": dict(configs)}}, wait_for_metadata=True)

    def max_message_bytes(self, topic: str) -> int:
        """Return the `max.message.bytes` of a topic."""
        from kafka.admin import ConfigResource, ConfigResourceType

        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        with self._asking():
            configs = self.client.describe_configs([resource], config_filter="all")["topic"][topic]
        return int(configs["max.message.bytes"]["value"])


def _probe_any(address: KafkaAddress, config: ClientConfig) -> None:
    """Probe the brokers up to the first that can be reached, to say why none can or why this one does not answer."""
    reasons = []
    for server in address.servers.split(","):
        try:
            probe(server, config)
        except (OSError, OverflowError) as error:
            reasons.append(f"{server}: {getattr(error, 'strerror', None) or error}")
        else:
            return
    raise SparkdlError(f"no Kafka broker can be reached at {'; '.join(reasons)}")
