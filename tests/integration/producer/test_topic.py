"""Promises of `producer.topic`: what it counts as acknowledged is on the topic, and what is not is named."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from refusals import refused
from streams import digits, wait_until
from topics import end_offsets, new_topic, received

from producer.replay import sequence
from producer.topic import Delivery, replay_to_topic
from sparkdl.errors import SparkdlError
from sparkdl.formats.envelopes import Envelope
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.broker import Broker
from training.data.loading import Dataset, LabelledImage


def replay(servers: str, topic: str, images: list[LabelledImage], **given: str) -> Delivery:
    config = ClientConfig({name.replace("_", "."): value for name, value in given.items()})
    return replay_to_topic(sequence(Dataset("", tuple(images))), KafkaAddress(servers, topic), config)


def test_each_image_is_a_message_under_its_name(kafka: str, drawn: Dataset) -> None:
    topic = new_topic(kafka)
    images = digits(drawn, 25)
    assert replay(kafka, topic, images) == Delivery(25, (), (), None)
    messages = received(kafka, topic)
    assert [(m.key, m.value, dict(m.headers)["label"]) for m in messages] == [
        (image.name.encode(), image.read(), image.label.encode()) for image in images
    ]


def test_a_topic_that_is_missing_is_made(kafka: str, drawn: Dataset) -> None:
    topic = f"made-by-{os.urandom(4).hex()}"
    assert replay(kafka, topic, digits(drawn, 1)).acknowledged == 1
    assert end_offsets(kafka, topic) == {0: 1}


def test_acknowledgements_are_told_as_they_come(kafka: str, drawn: Dataset) -> None:
    told: list[int] = []
    images = sequence(Dataset("", tuple(digits(drawn, 5))))
    replay_to_topic(images, KafkaAddress(kafka, new_topic(kafka)), ClientConfig(), on_acknowledged=told.append)
    assert told == [1, 2, 3, 4, 5]


def test_an_image_above_the_producers_limit_is_refused_by_name_and_the_others_go(kafka: str, drawn: Dataset) -> None:
    topic = new_topic(kafka)
    one, two = digits(drawn, 2)
    delivery = replay(
        kafka, topic, [one, LabelledImage("big.png", "1", payload=bytes(20_000)), two], max_request_size="10000"
    )
    assert (delivery.acknowledged, delivery.lost) == (2, ())
    ((name, why),) = delivery.refused
    assert name == "big.png"
    assert "max.request.size" in why
    assert [m.key for m in received(kafka, topic)] == [one.name.encode(), two.name.encode()]


def test_an_image_above_the_topics_limit_is_refused_by_name_and_the_others_go(kafka: str, drawn: Dataset) -> None:
    topic = new_topic(kafka, configs={"max.message.bytes": "10000"})
    one, two = digits(drawn, 2)
    delivery = replay(kafka, topic, [one, LabelledImage("big.png", "1", payload=os.urandom(20_000)), two])
    assert (delivery.acknowledged, delivery.lost) == (2, ())
    ((name, why),) = delivery.refused
    assert name == "big.png"
    assert "max.message.bytes" in why
    assert sorted(m.key or b"" for m in received(kafka, topic)) == [one.name.encode(), two.name.encode()]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_images_are_compressed_as_the_settings_say(kafka: str, codec: str) -> None:
    plain, compressed = new_topic(kafka), new_topic(kafka)
    images = [LabelledImage(f"{n}.bmp", "1", payload=bytes(100_000)) for n in range(3)]
    assert replay(kafka, plain, images).acknowledged == 3
    assert replay(kafka, compressed, images, compression_type=codec, linger_ms="50").acknowledged == 3
    assert size_of(kafka, plain) > 300_000
    assert size_of(kafka, compressed) < 50_000
    assert [message.value for message in received(kafka, compressed)] == [image.read() for image in images]


def test_a_batch_larger_than_the_topic_allows_is_made_smaller(kafka: str) -> None:
    topic = new_topic(kafka, configs={"max.message.bytes": "20000"})
    images = [LabelledImage(f"{n}.bmp", "1", payload=bytes(5000)) for n in range(100)]
    assert replay(kafka, topic, images, batch_size="1000000", linger_ms="200") == Delivery(100, (), (), None)


def test_all_replicas_acknowledge_whatever_the_settings_say(kafka: str, drawn: Dataset) -> None:
    topic = new_topic(kafka)
    assert replay(kafka, topic, digits(drawn, 3), acks="0") == Delivery(3, (), (), None)


def test_settings_that_an_idempotent_producer_cannot_have_are_refused(kafka: str, drawn: Dataset) -> None:
    with refused("--kafka-config", "retries"):
        replay(kafka, new_topic(kafka), digits(drawn, 1), retries="0")


@pytest.mark.parametrize("form", ["json:image.data", "base64", "cloudevents"])
def test_an_image_can_be_put_into_an_envelope(kafka: str, drawn: Dataset, form: str) -> None:
    topic, images, envelope = new_topic(kafka), digits(drawn, 3), Envelope.parse(form)
    assert envelope is not None
    address = KafkaAddress(kafka, topic)
    replay_to_topic(sequence(Dataset("", tuple(images))), address, ClientConfig(), envelope=envelope)
    messages = received(kafka, topic)
    assert [envelope.open(message.value or b"") for message in messages] == [image.read() for image in images]
    headers = dict(messages[0].headers)
    assert headers["content-type"].decode() == envelope.content_type
    assert headers["sha256"].decode() == hashlib.sha256(messages[0].value or b"").hexdigest()
    assert headers["label"].decode() == images[0].label


def size_of(servers: str, topic: str) -> int:
    """The bytes of a topic on the broker's disk."""
    client = KafkaAdminClient(bootstrap_servers=servers)
    try:
        (described,) = client.describe_log_dirs()
    finally:
        client.close()
    return sum(
        partition["partition_size"]
        for found in described["log_dirs"]
        for each in found["topics"]
        if each["name"] == topic
        for partition in each["partitions"]
    )


def test_an_address_must_name_one_topic(kafka: str, drawn: Dataset) -> None:
    with refused("one topic", "a,b"):
        replay(kafka, "a,b", digits(drawn, 1))


def test_without_a_broker_nothing_is_sent_and_it_is_said_why(drawn: Dataset) -> None:
    with pytest.raises(SparkdlError, match=r"no Kafka broker can be reached at 127\.0\.0\.1:1: Connection refused"):
        replay("127.0.0.1:1", "digits", digits(drawn, 1))


@pytest.mark.slow
def test_a_broker_that_stays_away_leaves_the_names_of_what_it_has_not(tmp_path: Path, drawn: Dataset) -> None:
    broker = Broker(tmp_path / "broker")
    images = digits(drawn, 60)
    with broker.running(port=0) as servers:
        topic = new_topic(servers)
        found: list[Delivery] = []
        told: list[int] = []
        config = ClientConfig({"delivery.timeout.ms": "4000", "request.timeout.ms": "2000", "linger.ms": "0"})

        def run() -> None:
            given = sequence(Dataset("", tuple(images)))
            found.append(
                replay_to_topic(given, KafkaAddress(servers, topic), config, rate=20, on_acknowledged=told.append)
            )

        producer = threading.Thread(target=run, daemon=True)
        producer.start()
        wait_until(lambda: len(told) >= 10)
        broker.stop()
        producer.join(90)
        assert not producer.is_alive()
        broker.start()
        (delivery,) = found
        there = {(m.key or b"").decode() for m in received(servers, topic)}
    assert delivery.why is not None
    assert 10 <= delivery.acknowledged < 60
    acknowledged = {image.name for image in images[: delivery.acknowledged + len(delivery.lost)]} - set(delivery.lost)
    assert len(acknowledged) == delivery.acknowledged
    assert acknowledged <= there


def test_ctrl_c_delivers_what_was_taken_and_counts_it(kafka: str, tmp_path: Path) -> None:
    topic = new_topic(kafka)
    command = [sys.executable, "-m", "console.main", "produce", "--data", "samples:3", "--loop", "--rate", "200"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [*command, "--to", f"kafka://{kafka}/{topic}"], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    wait_until(lambda: sum(end_offsets(kafka, topic).values()) > 20)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said.strip() == f"sent {sum(end_offsets(kafka, topic).values())} images to kafka://{kafka}/{topic}"


def test_the_rate_is_kept(kafka: str, drawn: Dataset) -> None:
    started = time.monotonic()
    given = sequence(Dataset("", tuple(digits(drawn, 21))))
    replay_to_topic(given, KafkaAddress(kafka, new_topic(kafka)), ClientConfig(), rate=20)
    assert time.monotonic() - started >= 1


def test_nothing_is_left_running_on_the_topic(kafka: str, drawn: Dataset) -> None:
    before = threading.active_count()
    replay(kafka, new_topic(kafka), digits(drawn, 3))
    wait_until(lambda: threading.active_count() <= before, 10)
