"""Promises of the Kafka source: what a record becomes, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError
from pyspark.sql import Row, SparkSession
from refusals import refused
from topics import Message, end_offsets, new_topic, send

from sparkdl.errors import SparkdlError
from streaming.kafka.errors import describe_error
from streaming.schemas import INPUT_RECORD
from streaming.settings import StreamSettings
from streaming.sources.kafka_records import input_records

RECORD = """topic string, partition int, offset bigint, key binary, value binary, timestamp timestamp,
            headers array<struct<key: string, value: binary>>"""
UNPACKED = {"compression.type": "uncompressed"}
SEEN, STATED = datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 31, 23, 59, 58, 500000, UTC)


def encoded(spark: SparkSession, value: bytes | None, headers: list[tuple[str, bytes | None]] | None) -> Row:
    """The row of a record at offset 7 of partition 1 of topic `in`."""
    frame = spark.createDataFrame([("in", 1, 7, b"a.png", value, SEEN, headers)], RECORD)
    (row,) = input_records(frame).collect()
    return row


def test_a_record_becomes_an_encoded_row(spark: SparkSession) -> None:
    row = encoded(spark, b"PNG", [("label", "৭".encode()), ("produced-at", b"2025-12-31T23:59:58.5Z")])
    assert row.asDict() == {
        "id": "in/1/7",
        "origin": "kafka://in/1/7",
        "payload": b"PNG",
        "size": 3,
        "label": "৭",
        "produced_at": STATED.astimezone().replace(tzinfo=None),
    }


def test_the_columns_are_those_of_the_contract(spark: SparkSession) -> None:
    frame = input_records(spark.createDataFrame([], RECORD))
    assert [(f.name, f.dataType) for f in frame.schema] == [(f.name, f.dataType) for f in INPUT_RECORD]


@pytest.mark.parametrize("headers", [None, []])
def test_a_bare_value_is_enough(spark: SparkSession, headers: list[Any] | None) -> None:
    row = encoded(spark, b"PNG", headers)
    assert (row.label, row.produced_at) == (None, SEEN.astimezone().replace(tzinfo=None))


def test_a_null_value_is_a_row_of_no_bytes(spark: SparkSession) -> None:
    row = encoded(spark, None, None)
    assert (row.payload, row.size) == (None, 0)


def test_of_repeated_headers_the_last_counts(spark: SparkSession) -> None:
    assert encoded(spark, b"", [("label", b"1"), ("label", b"2")]).label == "2"


def test_a_label_that_is_not_utf8_is_mended_and_a_long_one_is_cut(spark: SparkSession) -> None:
    assert encoded(spark, b"", [("label", b"a\xffb")]).label == "a\ufffdb"
    assert encoded(spark, b"", [("label", b"x" * 10_000)]).label == "x" * 256
    assert encoded(spark, b"", [("label", None)]).label is None


def test_thousands_of_headers_and_megabytes_in_them_change_nothing(spark: SparkSession) -> None:
    many = [(f"h{n}", b"x") for n in range(5000)]
    row = encoded(spark, b"PNG", [*many, ("label", b"7" * 5_000_000), ("produced-at", b"2" * 5_000_000), *many])
    assert (row.id, row.payload, row.label) == ("in/1/7", b"PNG", "7" * 256)
    assert row.produced_at == SEEN.astimezone().replace(tzinfo=None)
    assert row.asDict().keys() == set(INPUT_RECORD.names)  # no header goes on


def test_a_cut_label_is_whole_characters(spark: SparkSession) -> None:
    assert encoded(spark, b"", [("label", ("a" + "\U0001f600" * 1000).encode())]).label == "a" + "\U0001f600" * 255


def test_headers_are_no_paths_and_their_names_are_no_columns(spark: SparkSession) -> None:
    headers = [("id", b"x"), ("origin", b"file:/etc/passwd"), ("payload", b"y"), ("label", b"../../x\x1b[2J")]
    row = encoded(spark, b"PNG", headers)
    assert (row.id, row.origin, row.payload, row.label) == ("in/1/7", "kafka://in/1/7", b"PNG", "../../x\x1b[2J")


@pytest.mark.parametrize(
    "value",
    [b"", b"yesterday", b"\xff\xfe", b"99999-01-01T00:00:00Z", b"+294247-01-01T00:00:00Z", b"-0001-01-01T00:00:00Z"],
)
def test_for_a_time_that_is_none_the_records_own_stands(spark: SparkSession, value: bytes) -> None:
    assert encoded(spark, b"", [("produced-at", value)]).produced_at == SEEN.astimezone().replace(tzinfo=None)


@pytest.mark.parametrize(
    "moment", [-90_000_000_000_000, -1_000_000_000_000_000, -2, 253_500_000_000_000, 1_000_000_000_000_000]
)
def test_a_record_time_outside_the_years_of_readers_is_none(kafka_spark: SparkSession, kafka: str, moment: int) -> None:
    configs = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    topic = new_topic(kafka, configs=configs)
    send(
        kafka, topic, [Message(b"x", moment=moment), Message(b"y", headers=[("produced-at", b"2026-01-01T00:00:00Z")])]
    )
    read = kafka_spark.read.format("kafka").option("kafka.bootstrap.servers", kafka).option("subscribe", topic)
    rows = input_records(read.option("includeHeaders", True).load()).sort("id").collect()
    assert [row.payload for row in rows] == [b"x", b"y"]
    assert rows[0].produced_at is None
    assert rows[1].produced_at == SEEN.astimezone().replace(tzinfo=None)


def test_a_record_time_that_spark_cannot_hold_is_explained(kafka_spark: SparkSession, kafka: str) -> None:
    topic = new_topic(kafka, configs={"message.timestamp.type": "CreateTime"})
    send(kafka, topic, [Message(b"x", moment=-(10**16))])
    read = kafka_spark.read.format("kafka").option("kafka.bootstrap.servers", kafka).option("subscribe", topic)
    with pytest.raises(Exception, match="overflows") as caught:
        read.load().collect()
    known = describe_error(str(caught.value), "kafka://h:1/t")
    assert known is not None
    assert known.fatal
    assert "message.timestamp.type to LogAppendTime" in known.reason


def test_a_topic_with_the_brokers_times_takes_any_time_of_a_producer(kafka_spark: SparkSession, kafka: str) -> None:
    topic = new_topic(kafka, configs={"message.timestamp.type": "LogAppendTime"})
    send(kafka, topic, [Message(b"x", moment=moment) for moment in (-(2**63), -90_000_000_000_000, 2**63 - 1)])
    read = kafka_spark.read.format("kafka").option("kafka.bootstrap.servers", kafka).option("subscribe", topic)
    rows = input_records(read.option("includeHeaders", True).load()).collect()
    assert all(row.produced_at.year >= 2026 for row in rows)
    assert len(rows) == 3


def test_a_topic_without_compression_takes_no_message_that_unpacks_to_more_than_its_limit(kafka: str) -> None:
    limit = {"max.message.bytes": "1000000"}
    as_it_comes, unpacked = new_topic(kafka, configs=limit), new_topic(kafka, configs=limit | UNPACKED)
    producer = KafkaProducer(bootstrap_servers=kafka, compression_type="zstd", max_request_size=64 << 20)
    try:
        producer.send(as_it_comes, bytes(5_000_000)).get(60)
        with pytest.raises(MessageSizeTooLargeError):
            producer.send(unpacked, bytes(5_000_000)).get(60)
    finally:
        producer.close()
    assert (end_offsets(kafka, as_it_comes), end_offsets(kafka, unpacked)) == ({0: 1}, {0: 0})


# --- the request ---------------------------------------------------------------------------------------------------


def settings(tmp_path: Path, source: str, **given: Any) -> StreamSettings:
    return StreamSettings.read(source=source, sink="console", checkpoint=tmp_path / "checkpoint", **given)


@pytest.mark.parametrize(
    "address", ["kafka://", "kafka://host:9092", "kafka://host:9092/", "kafka:topic", "kafka://host/t"]
)
def test_an_address_of_another_form_is_refused(tmp_path: Path, address: str) -> None:
    with refused("kafka://HOST:PORT[,HOST:PORT]/TOPIC", address):
        settings(tmp_path, address).make_source().check()


def test_a_topic_that_is_missing_is_named(tmp_path: Path, kafka: str) -> None:
    there = new_topic(kafka)
    with refused(f"no topic nowhere at {kafka}"):
        settings(tmp_path, f"kafka://{kafka}/{there},nowhere").make_source().check()


def test_topics_that_a_pattern_may_match_later_need_not_be_there(tmp_path: Path, kafka: str) -> None:
    settings(tmp_path, f"kafka://{kafka}/not-yet-.*").make_source().check()


def test_a_broker_that_is_away_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SparkdlError, match=r"^no Kafka broker can be reached at 127\.0\.0\.1:1: Connection refused"):
        settings(tmp_path, "kafka://127.0.0.1:1/digits").make_source().check()


def test_a_label_from_the_parent_folder_is_for_directories(tmp_path: Path) -> None:
    with refused("--label-from parent is for directories"):
        settings(tmp_path, "kafka://127.0.0.1:1/digits", label_from="parent").make_source().check()
