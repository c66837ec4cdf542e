"""Promises of `streaming.kafka.admin`: a stream opens one session for its source and one for its sink; partitions are
counted by one more."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from pyspark.sql import SparkSession
from streams import Place, digits, wait_until
from topics import new_topic

from producer.replay import sequence
from producer.topic import replay_to_topic
from sparkdl.errors import SparkdlError
from sparkdl.models.registry import Registry
from streaming.kafka.address import KafkaAddress
from streaming.kafka.admin import CLIENT_ID, PartitionCounter
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.broker import Broker
from streaming.kafka.local.listeners import free_port
from streaming.kafka.local.programs import kafka_tool
from training.data.loading import Dataset


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker that logs each request."""
    made = Broker(tmp_path / "broker")
    with made.running(port=0) as address:
        log_requests = kafka_tool(
            "kafka.admin.ConfigCommand",
            *("--bootstrap-server", address, "--alter", "--entity-type", "broker-loggers"),
            *("--entity-name", "1", "--add-config", "kafka.request.logger=DEBUG"),
        )
        subprocess.run(log_requests, check=True, capture_output=True, timeout=60)
        yield made


def sessions(broker: Broker) -> set[str]:
    """The names of the admin sessions that the broker has had requests from."""
    return set(re.findall(rf'"clientId":"({CLIENT_ID}-\d+)"', broker.log.read_text()))


def test_a_start_and_a_restart_open_two_sessions_each(
    kafka_spark: SparkSession, broker: Broker, tmp_path: Path, registry: Registry, drawn: Dataset
) -> None:
    servers = next(iter(broker.addresses().values()))
    images, predictions = KafkaAddress(servers, "images"), KafkaAddress(servers, "predictions")
    delivery = replay_to_topic(sequence(Dataset("", tuple(digits(drawn, 3)))), images, ClientConfig())
    assert delivery.acknowledged == 3
    place = Place(tmp_path, registry)
    before = sessions(broker)
    assert before  # the producer's
    for _ in range(2):
        place.run_to_the_end(kafka_spark, source=str(images), sink=str(predictions))
        now = sessions(broker)
        assert len(now - before) == 2
        before = now
    assert place.images == 3


def test_partitions_are_counted_again_and_again_by_one_session(broker: Broker) -> None:
    servers = next(iter(broker.addresses().values()))
    topic = new_topic(servers, partitions=2)
    before = sessions(broker)
    counter = PartitionCounter(KafkaAddress(servers, topic), ClientConfig())
    try:
        assert [counter() for _ in range(3)] == [2, 2, 2]
        client = KafkaAdminClient(bootstrap_servers=servers)
        client.create_partitions({topic: 3})
        client.close()
        wait_until(lambda: counter() == 3)
        assert len(sessions(broker) - before) == 1
    finally:
        counter.close()


def test_partitions_of_a_pattern_are_counted(broker: Broker) -> None:
    servers = next(iter(broker.addresses().values()))
    topic = new_topic(servers, partitions=3)
    with closing(PartitionCounter(KafkaAddress(servers, f"({topic}|other)"), ClientConfig())) as counter:
        assert counter() == 3


def test_a_counter_that_gets_no_answer_says_so() -> None:
    with pytest.raises(SparkdlError, match="no Kafka broker can be reached"):
        PartitionCounter(KafkaAddress(f"127.0.0.1:{free_port()}", "images"), ClientConfig())()
