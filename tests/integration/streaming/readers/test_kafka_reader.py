"""Promises of `streaming.readers.kafka`: each row once, in whatever form it lies on the topic."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from typing import Any

import pytest
from kafka import KafkaAdminClient
from refusals import refused
from streams import wait_until
from topics import Message, end_offsets, new_sink, new_topic, send
from transactions import send_transactions

from sparkdl.errors import SparkdlError
from streaming.kafka.address import KafkaAddress
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.programs import kafka_tool
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX
from streaming.readers.kafka import KafkaReader

CODECS = ("gzip", "snappy", "lz4", "zstd")
HEADERS = [("origin", b"file:/a"), ("reason", b"empty"), ("size", b"0"), ("failed-at", b"2026-01-02T03:04:05Z")]


def prediction(name: str, batch_id: int = 0, **given: Any) -> Message:
    row = {
        "id": name,
        "origin": f"file:/{name}",
        "prediction": "7",
        "confidence": 0.5,
        "probabilities": {"7": 0.5},
        "label": None,
        "needs_review": False,
        "model": "m",
        "produced_at": None,
        "batch_id": batch_id,
        "predicted_at": "2026-01-02T03:04:05.678901Z",
    }
    return Message(json.dumps(row | given).encode(), name.encode())


def dead_letter(name: str, payload: bytes | None = b"") -> Message:
    return Message(payload, name.encode(), [*HEADERS, ("batch-id", b"0")])


def reader(kafka: str, topic: str) -> KafkaReader:
    return KafkaReader(KafkaAddress(kafka, topic), ClientConfig())


def ids(rows: Any) -> list[str]:
    return [row["id"] for row in rows]


def test_all_partitions_are_read_and_the_reader_ends(kafka: str) -> None:
    topic = new_topic(kafka, partitions=3)
    send(kafka, topic, [prediction(str(n))._replace(partition=n % 3) for n in range(9)])
    assert sorted(ids(reader(kafka, topic).rows())) == [str(n) for n in range(9)]


def test_an_empty_topic_has_no_rows(kafka: str) -> None:
    topic = new_topic(kafka)
    assert list(reader(kafka, topic).rows()) == []
    assert list(reader(kafka, topic).rows(dead=True)) == []
    assert reader(kafka, topic).summary()["images"] == 0


def test_a_row_that_was_written_again_is_given_once(kafka: str) -> None:
    topic = new_topic(kafka)
    send(kafka, topic, [prediction("a"), prediction("b"), prediction("a"), prediction("b"), prediction("c", 1)])
    assert ids(reader(kafka, topic).rows()) == ["a", "b", "c"]
    assert reader(kafka, topic).summary()["predictions"] == 3


def test_messages_of_others_are_passed_over_and_counted(kafka: str) -> None:
    topic = new_topic(kafka)
    send(kafka, topic, [Message(b"hello"), prediction("a"), Message(None, b"a"), Message(b"{}")])
    found = reader(kafka, topic)
    assert ids(found.rows()) == ["a"]
    assert found.skipped == 3


def test_dead_letters_come_from_the_topic_beside_with_their_bytes(kafka: str) -> None:
    topic = new_sink(kafka)
    send(kafka, topic + DEAD_LETTERS_SUFFIX, [dead_letter("a", b"\0\xff"), dead_letter("b", None), Message(b"?")])
    found = reader(kafka, topic)
    assert [(row["id"], row["payload"]) for row in found.rows(dead=True)] == [("a", b"\0\xff"), ("b", None)]
    assert found.skipped == 1


def test_the_summary_counts_both_topics(kafka: str) -> None:
    topic = new_sink(kafka)
    good = [prediction("a", label="7"), prediction("b", label="8", needs_review=True), prediction("c", prediction="9")]
    send(kafka, topic, good)
    send(kafka, topic + DEAD_LETTERS_SUFFIX, [dead_letter("x")])
    assert reader(kafka, topic).summary() == {
        "images": 4,
        "predictions": 3,
        "dead_letters": 1,
        "needs_review": 1,
        "classes": {"7": 2, "9": 1},
        "reasons": {"empty": 1},
        "models": {"m": 3},
        "labelled": 2,
        "correct": 1,
        "accuracy": 0.5,
    }


def test_following_gives_what_comes_later_on_new_partitions_too(kafka: str) -> None:
    topic = new_topic(kafka)
    send(kafka, topic, [prediction("before")])
    seen: list[str] = []

    def follow() -> None:
        found = KafkaReader(KafkaAddress(kafka, topic), ClientConfig({"metadata.max.age.ms": "200"}))
        seen.extend(row["id"] for row in itertools.islice(found.rows(follow=True), 3))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    wait_until(lambda: seen == ["before"])
    send(kafka, topic, [prediction("later")])
    wait_until(lambda: seen == ["before", "later"])
    client = KafkaAdminClient(bootstrap_servers=kafka)
    client.create_partitions({topic: 2})
    client.close()
    wait_until(lambda: len(end_offsets(kafka, topic)) == 2)
    send(kafka, topic, [prediction("on a new partition")._replace(partition=1)])
    thread.join(30)
    assert seen == ["before", "later", "on a new partition"]


@pytest.mark.parametrize("codec", CODECS)
def test_messages_of_every_codec_are_read(kafka: str, codec: str) -> None:
    topic = new_sink(kafka)
    send(kafka, topic, [prediction(str(n)) for n in range(50)], codec)
    send(kafka, topic + DEAD_LETTERS_SUFFIX, [dead_letter("x", b"\0" * 100_000)], codec)
    found = reader(kafka, topic)
    assert ids(found.rows()) == [str(n) for n in range(50)]
    assert [row["payload"] for row in found.rows(dead=True)] == [b"\0" * 100_000]
    assert found.summary()["images"] == 51


@pytest.mark.parametrize("codec", CODECS)
def test_messages_that_kafkas_own_producer_compressed_are_read(kafka: str, codec: str) -> None:
    topic = new_topic(kafka)
    tool = kafka_tool(
        "org.apache.kafka.tools.ConsoleProducer",
        *("--bootstrap-server", kafka, "--topic", topic, "--compression-codec", codec),
    )
    lines = b"".join((prediction(str(n)).value or b"") + b"\n" for n in range(50))
    subprocess.run(tool, input=lines, check=True, capture_output=True, timeout=60)
    assert ids(reader(kafka, topic).rows()) == [str(n) for n in range(50)]


@pytest.mark.parametrize(("codec", "module"), [("snappy", "snappy"), ("lz4", "lz4"), ("zstd", "zstd")])
def test_a_codec_whose_package_is_missing_is_one_line_that_names_it(
    kafka: str, codec: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = new_topic(kafka)
    send(kafka, topic, [prediction("a"), prediction("b")], codec)
    monkeypatch.setattr(f"kafka.codec.{module}", None)  # what kafka-python has where it could not import it
    with pytest.raises(SparkdlError, match=rf"^the messages of {topic} are compressed with {codec}, which needs \S+,"):
        list(reader(kafka, topic).rows())


@pytest.mark.parametrize("last_is_committed", [True, False])
def test_aborted_transactions_are_read_unless_the_isolation_level_leaves_them_out(
    kafka: str, last_is_committed: bool
) -> None:
    topic = new_topic(kafka)
    a, b, c, d = ([prediction(name).value or b""] for name in "abcd")
    send_transactions(kafka, topic, [(a, True), (b, False), (c, True), (d, last_is_committed)])
    assert ids(reader(kafka, topic).rows()) == ["a", "b", "c", "d"]
    committed = KafkaReader(KafkaAddress(kafka, topic), ClientConfig({"isolation.level": "read_committed"}))
    assert ids(committed.rows()) == ["a", "c", *(["d"] if last_is_committed else [])]


def test_a_topic_that_is_missing_is_named(kafka: str) -> None:
    with refused(f"no topic nowhere at {kafka}"):
        reader(kafka, "nowhere")


def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(SparkdlError, match=r"no Kafka broker can be reached at 127\.0\.0\.1:1"):
        reader("127.0.0.1:1", "digits")
