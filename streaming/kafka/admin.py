"""Kafka from the driver's side: addresses, the connector, and a look at the brokers before a stream starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from sparkdl.errors import RequestError, SparkdlError
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.preflight import PATIENCE, greet

CONNECTOR = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"


@contextmanager
def admin(address: KafkaAddress, config: ClientConfig) -> Iterator[KafkaAdminClient]:
    """A client that asks the brokers of `address`.

    Raises
    ------
    SparkdlError
        If none of them answers, or not to these credentials; says which and why.
    """
    _knock(address, config)
    options = {"bootstrap_timeout_ms": PATIENCE * 1000, **config.python_options(KafkaAdminClient.DEFAULT_CONFIG)}
    try:
        client = KafkaAdminClient(bootstrap_servers=address.servers.split(","), **options)
    except KafkaError as error:
        raise SparkdlError(f"Kafka at {address.servers} was reached but cannot be used: {error}") from error
    try:
        yield client
    except KafkaError as error:
        raise SparkdlError(f"Kafka at {address.servers} refuses: {error}") from error
    finally:
        client.close()


def _knock(address: KafkaAddress, config: ClientConfig) -> None:
    """Greets the first broker that can be reached, for the reason why none can or why this one does not answer."""
    reasons = []
    for server in address.servers.split(","):
        try:
            greet(server, config)
        except (OSError, OverflowError) as error:
            reasons.append(f"{server}: {getattr(error, 'strerror', None) or error}")
        else:
            return
    raise SparkdlError(f"no Kafka broker can be reached at {'; '.join(reasons)}")


@dataclass(frozen=True)
class Cluster:
    """What the brokers say of themselves: the id of the cluster, and partitions by topic."""

    cluster_id: str
    partitions: Mapping[str, int]


def look_at(address: KafkaAddress, config: ClientConfig) -> Cluster:
    """Asks the brokers for their cluster's id and for the topics that `address` names and that exist.

    Raises
    ------
    SparkdlError
        As `admin` does.
    """
    with admin(address, config) as client:
        found: list[dict[str, Any]] = client.describe_topics(list(address.topics) if address.topics else None)
        return Cluster(
            str(client.describe_cluster()["cluster_id"]),
            {topic["name"]: len(topic["partitions"]) for topic in found if topic["error_code"] == 0},
        )


def check_topics(address: KafkaAddress, config: ClientConfig) -> None:
    """Raises a RequestError if a topic that `address` names is missing, a SparkdlError if no broker answers."""
    cluster = look_at(address, config)
    missing = [name for name in address.topics or () if name not in cluster.partitions]
    if missing:
        raise RequestError(f"no topic {' and no topic '.join(missing)} at {address.servers}: make it first")


BROKERS_TIME = {"message.timestamp.type": "LogAppendTime"}
"""A topic of images: producers may set a record's time to what Spark cannot hold, which ends every stream of it."""


def make_topic(client: KafkaAdminClient, name: str, configs: Mapping[str, str]) -> None:
    """Makes a topic, with the brokers' own number of partitions and replicas, if there is none of that name."""
    if client.describe_topics([name])[0]["error_code"] == 0:
        return
    with suppress(TopicAlreadyExistsError):  # by another, since we looked
        client.create_topics({name: {"configs": dict(configs)}}, wait_for_metadata=True)


def largest_message(client: KafkaAdminClient, topic: str) -> int:
    """The `max.message.bytes` of a topic."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    configs = client.describe_configs([resource], config_filter="all")["topic"][topic]
    return int(configs["max.message.bytes"]["value"])
