"""Kafka from the driver's side: addresses, the connector, and a look at the brokers before a stream starts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from sparkdl.errors import RequestError, SparkdlError
from streaming.client_config import ClientConfig
from streaming.handshake import PATIENCE, greet

SCHEME = "kafka://"
CONNECTOR = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0"
_FORM = f"{SCHEME}HOST:PORT[,HOST:PORT]/TOPIC"
_SERVERS = re.compile(r"[^\s,/]+:\d{1,5}(,[^\s,/]+:\d{1,5})*")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True)
class KafkaAddress:
    """`kafka://HOST:PORT[,HOST:PORT]/TOPIC`.

    Attributes
    ----------
    servers
        `HOST:PORT[,HOST:PORT]`.
    topic
        The name of a topic, several with commas between, or a Java regular expression: it is one if it holds a
        character that no name of a topic has.
    """

    servers: str
    topic: str

    @classmethod
    def parse(cls, address: str) -> KafkaAddress:
        """The parts of an address.

        Raises
        ------
        RequestError
            If it has another form.
        """
        servers, _, topic = address.removeprefix(SCHEME).partition("/")
        if not address.startswith(SCHEME) or not topic or not _SERVERS.fullmatch(servers):
            raise RequestError(f"expected a Kafka address as {_FORM}, received {address!r}")
        return cls(servers, topic)

    @property
    def topics(self) -> tuple[str, ...] | None:
        """The names of the topics, None if the address has a pattern."""
        names = tuple(self.topic.split(","))
        return names if all(_NAME.fullmatch(name) for name in names) else None

    @property
    def single_topic(self) -> str:
        """The name of the one topic.

        Raises
        ------
        RequestError
            If the address names several, or a pattern.
        """
        if not _NAME.fullmatch(self.topic):
            raise RequestError(f"expected the name of one topic, received {self.topic!r}")
        return self.topic

    def __str__(self) -> str:
        return f"{SCHEME}{self.servers}/{self.topic}"


def is_kafka(address: str) -> bool:
    """Whether `address` is meant as one of Kafka."""
    return address.startswith("kafka:")


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


_GONE = "the topic of {place} is gone: make it again and start with a new checkpoint"
_EXPIRED = (
    "messages of {place} are gone that were not read yet: they expired, or the topic was made anew; "
    "to go on with those that are left, add --no-fail-on-data-loss"
)
_LASTING = {
    "UnknownTopicOrPartitionException": _GONE,
    "UnknownTopicIdException": _GONE,
    "OffsetOutOfRangeException": _EXPIRED,
    "overflows when converting to Spark's microsecond": "a message of {place} has a record time that Spark cannot "
    "hold: delete it (kafka-delete-records), and set the topic's message.timestamp.type to LogAppendTime",
    "KAFKA_DATA_LOSS": _EXPIRED,
    "RecordTooLargeException": "a row is larger than the topic of {place} takes: raise its max.message.bytes",
    "SaslAuthenticationException": "the brokers of {place} refuse the credentials of --kafka-config",
    "SslAuthenticationException": "the brokers of {place} are not trusted: see ssl.truststore.location in "
    "--kafka-config",
    "PBES2 SecretKeyFactory": "Java cannot read the encrypted key of --kafka-config: encrypt it as "
    "openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES does, or put it into a PKCS12 store",
    "TopicAuthorizationException": "the user of --kafka-config has no right to {place}",
}
"""What is the same at the next attempt, and what it means."""
_PASSING = {
    "kafka.common.errors.TimeoutException": "the brokers of {place} do not answer; the stream goes on where it "
    "stopped when it is started again",
}


def explain(failure: str, place: str) -> str | None:
    """What a failure of the connector means and what to do, None if it is none that is known.

    Parameters
    ----------
    failure
        The whole text of the error.
    place
        The address that the stream reads or writes.
    """
    known = {**_LASTING, **_PASSING}
    return next((words.format(place=place) for sign, words in known.items() if sign in failure), None)


def lasts(failure: str) -> bool:
    """Whether a failure of the connector, the whole text of the error, would be the same at the next attempt."""
    return any(sign in failure for sign in _LASTING)
