"""What the tests of Kafka share: unique topics, messages put on them and taken from them by a plain client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from producer.replay import sequence
from producer.topic import replay_to_topic
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX
from streaming.readers.kafka import KafkaReader
from training.data.loading import Dataset, LabelledImage

Options = Mapping[str, Any]


class Message(NamedTuple):
    """What a client sends or gets."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int | None = None
    offset: int | None = None
    moment: int | None = None
    """The record's time, milliseconds; None for now."""


def new_topic(servers: str, partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
    """The name of a topic that nobody else uses."""
    name = f"test-{uuid4().hex[:12]}"
    client = KafkaAdminClient(bootstrap_servers=servers)
    try:
        topic = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs or {})}
        client.create_topics({name: topic}, wait_for_metadata=True)
    finally:
        client.close()
    return name


def new_sink(servers: str) -> str:
    """The name of a topic of predictions that has its topic of dead letters beside it."""
    name = new_topic(servers)
    client = KafkaAdminClient(bootstrap_servers=servers)
    try:
        client.create_topics([name + DEAD_LETTERS_SUFFIX], wait_for_metadata=True)
    finally:
        client.close()
    return name


def send(servers: str, topic: str, messages: Iterable[Message], codec: str | None = None) -> None:
    """Puts messages on a topic, and returns when the broker has them all."""
    producer = KafkaProducer(
        bootstrap_servers=servers, acks="all", max_request_size=64 << 20, compression_type=codec, linger_ms=50
    )
    try:
        for message in messages:
            producer.send(
                topic,
                message.value,
                message.key,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=message.moment,
            ).add_errback(_fail)
        producer.flush(60)
    finally:
        producer.close()


def _fail(error: BaseException) -> None:
    raise AssertionError(f"a message was not taken: {error}") from error


def received(servers: str, topic: str) -> list[Message]:
    """All messages that are on a topic now, partition by partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers, group_id=None, auto_offset_reset="earliest", consumer_timeout_ms=30_000
    )
    try:
        found: list[Message] = []
        for number in sorted(consumer.partitions_for_topic(topic) or ()):
            partition = TopicPartition(topic, number)
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            end = consumer.end_offsets([partition])[partition]
            while consumer.position(partition) < end:
                for records in consumer.poll(1000).values():
                    found += [Message(r.value, r.key, list(r.headers), number, r.offset) for r in records]
        return found
    finally:
        consumer.close()


def end_offsets(servers: str, topic: str) -> dict[int, int]:
    """The next offset of each partition."""
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        return {partition.partition: end for partition, end in consumer.end_offsets(partitions).items()}
    finally:
        consumer.close()


def reader(servers: str, topic: str) -> KafkaReader:
    """The reader of a topic of results, and of its topic of dead letters."""
    return KafkaReader(KafkaAddress(servers, topic), ClientConfig())


def produce(servers: str, topic: str, images: list[LabelledImage], rate: float | None = None) -> None:
    """Sends images as `sparkdl produce` does."""
    replayed = sequence(Dataset("", tuple(images)))
    delivery = replay_to_topic(replayed, KafkaAddress(servers, topic), ClientConfig(), rate=rate)
    assert (delivery.acknowledged, delivery.refused, delivery.lost) == (len(images), (), ())
