"""Promises of streams from and to Kafka, on a real broker: each message ends once, and the sums are the offsets'."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka import KafkaAdminClient, TopicPartition
from PIL import Image
from pyspark.sql import SparkSession
from refusals import refused
from streams import BROKEN, Place, digits, png, rows_of, wait_until
from topics import Message, end_offsets, new_topic, produce, reader, received, send

from producer.replay import replay_to_directory, sequence
from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import Reason
from sparkdl.models.registry import Registry
from streaming.kafka.client_config import ClientConfig
from streaming.kafka.local.broker import Broker
from streaming.kafka.local.programs import kafka_tool
from streaming.kafka.messages import DEAD_LETTERS_SUFFIX, image_headers
from training.data.loading import Dataset, LabelledImage

PLAIN = ClientConfig()


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    (tmp_path / "watched").mkdir()
    return Place(tmp_path, registry)


# --- 2,000 messages, 40 of them poison -----------------------------------------------------------------------------

# Its header announces 2,640 x 2,640 pixels in 20 MB, and then it ends.
LONG_BITMAP = b"BM" + struct.pack("<IIIIiiHHIIiiII", 20_908_854, 0, 54, 40, 2640, 2640, 1, 24, 0, 0, 0, 0, 0, 0)

POISON: dict[str, tuple[Reason, bytes | None]] = {
    "null": (Reason.EMPTY, None),
    "20 MB by its own account": (Reason.TRUNCATED, LONG_BITMAP),
    "more pixels than anybody has": (Reason.TOO_MANY_PIXELS, png(100_000, 100_000, (b"IDAT", b"x"), (b"IEND", b""))),
    "text": (Reason.UNSUPPORTED_FORMAT, b"no image, but words"),
    **{
        name: (broken.reason, broken.payload)
        for name, broken in BROKEN.items()
        if broken.reason in (Reason.EMPTY, Reason.TRUNCATED, Reason.CORRUPT, Reason.UNSUPPORTED_FORMAT)
    },
}


def encoded_digits(drawn: Dataset, count: int) -> list[bytes]:
    """PNG files of handwritten digits, 28 px; drawn ones where there are no real ones."""
    home = os.environ.get("NUMTADB_HOME")
    if not home:
        return [image.read() for image in digits(drawn, count)]
    with np.load(Path(home) / "numta28.npz") as arrays:
        images = next(arrays[name] for name in arrays.files if arrays[name].ndim == 3)[:count]
    encoded = []
    for image in images:
        target = io.BytesIO()
        Image.fromarray(image).save(target, "PNG")
        encoded.append(target.getvalue())
    return encoded


@pytest.mark.slow
def test_of_2000_messages_40_are_poison_and_each_ends_once(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    topic = new_topic(kafka, partitions=2)
    poison = [(name, *POISON[name]) for name in (list(POISON) * 40)[:40]]
    good = [Message(payload, f"good-{n}".encode()) for n, payload in enumerate(encoded_digits(drawn, 1960))]
    bad = [Message(payload, name.encode()) for name, _, payload in poison]
    mixed = list(good)
    for position, message in enumerate(bad):
        mixed.insert(position * 49, message)
    send(kafka, topic, mixed)

    job = place.job(kafka_spark, source=f"kafka://{kafka}/{topic}", max_images_per_trigger=500)
    wait_until(lambda: place.images >= 500 or not job.is_active)
    job.stop()
    job.wait()
    assert 500 <= place.images < 2000
    place.run_to_the_end(kafka_spark, source=f"kafka://{kafka}/{topic}", max_images_per_trigger=500)

    predictions, dead = rows_of(place.sink), rows_of(place.sink, "dead_letters")
    assert (len(predictions), len(dead)) == (1960, 40)
    assert sum(end_offsets(kafka, topic).values()) == 2000
    offsets = {f"{topic}/{m.partition}/{m.offset}": m for m in received(kafka, topic)}
    assert place.ids() == sorted(offsets)
    assert Counter(row["reason"] for row in dead) == Counter(reason.value for _, reason, _ in poison)
    assert all(row["payload"] == offsets[row["id"]].value for row in dead)
    whole = [row for row in dead if row["payload"] is not None]
    assert all(row["sha256"] == hashlib.sha256(row["payload"]).hexdigest() for row in whole)


# --- the ways ------------------------------------------------------------------------------------------------------


def test_a_directory_a_topic_and_a_topic_again_give_the_same_predictions(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset, registry: Registry
) -> None:
    images = digits(drawn, 30)
    source, through_kafka, from_files = (new_topic(kafka) for _ in range(3))
    produce(kafka, source, images)
    send(kafka, source, [Message(b"GIF89a", b"cut.gif", [("label", b"7")])])
    replay_to_directory(sequence(Dataset("", tuple(images))), place.watched)

    job = place.job(
        kafka_spark, source=f"kafka://{kafka}/{source}", sink=f"kafka://{kafka}/{through_kafka}", available_now=True
    )
    job.wait()
    files = Place(place.root / "files", registry)
    job = files.job(kafka_spark, source=str(place.watched), sink=f"kafka://{kafka}/{from_files}", available_now=True)
    job.wait()
    parquet = Place(place.root / "parquet", registry)
    parquet.run_to_the_end(kafka_spark, source=f"kafka://{kafka}/{source}")

    names = {f"{source}/0/{n}": image.name for n, image in enumerate(images)}
    one = {names[row["id"]]: row["probabilities"] for row in reader(kafka, through_kafka).rows()}
    two = {row["id"]: row["probabilities"] for row in reader(kafka, from_files).rows()}
    three = {names[row["id"]]: dict(row["probabilities"]) for row in rows_of(parquet.sink)}
    assert len(one) == 30
    assert one == two == three

    (dead,) = reader(kafka, through_kafka).rows(dead=True)
    (same,) = rows_of(parquet.sink, "dead_letters")
    timeless = {"failed_at"}
    assert {k: v for k, v in dead.items() if k not in timeless} == {k: v for k, v in same.items() if k not in timeless}
    assert (dead["reason"], dead["payload"], dead["label"]) == ("truncated", b"GIF89a", "7")


def test_predictions_carry_the_labels_and_times_of_the_headers(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka), new_topic(kafka)
    images = digits(drawn, 5)
    produce(kafka, source, images)
    place.job(
        kafka_spark, source=f"kafka://{kafka}/{source}", sink=f"kafka://{kafka}/{sink}", available_now=True
    ).wait()
    rows = sorted(reader(kafka, sink).rows(), key=lambda row: row["id"])
    assert [row["label"] for row in rows] == [image.label for image in images]
    sent = {f"{source}/0/{m.offset}": dict(m.headers)["produced-at"].decode() for m in received(kafka, source)}
    assert {row["id"]: row["produced_at"].isoformat().replace("+00:00", "Z") for row in rows} == sent
    assert reader(kafka, sink).summary()["labelled"] == 5


def test_what_is_on_the_topic_is_json_keyed_by_id(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka), new_topic(kafka)
    produce(kafka, source, digits(drawn, 1))
    place.job(
        kafka_spark, source=f"kafka://{kafka}/{source}", sink=f"kafka://{kafka}/{sink}", available_now=True
    ).wait()
    (message,) = received(kafka, sink)
    assert message.value is not None
    row = json.loads(message.value)
    assert message.key == row["id"].encode() == f"{source}/0/0".encode()
    assert set(row) == {
        *("id", "origin", "prediction", "confidence", "probabilities", "label", "labels", "needs_review", "model"),
        *("produced_at", "predicted_at", "batch_id"),
    }
    assert dict(message.headers) == {"schema": b"1", "content-type": b"application/json"}


def test_a_pattern_reads_all_topics_that_match_it(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    one, two = new_topic(kafka), new_topic(kafka)
    images = digits(drawn, 2)
    produce(kafka, one, images[:1])
    produce(kafka, two, images[1:])
    place.run_to_the_end(kafka_spark, source=f"kafka://{kafka}/({one}|{two})")
    assert place.ids() == sorted([f"{one}/0/0", f"{two}/0/0"])


def test_a_stream_may_begin_at_the_latest(kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset) -> None:
    topic = new_topic(kafka)
    images = digits(drawn, 3)
    produce(kafka, topic, images[:2])
    given: dict[str, Any] = {"source": f"kafka://{kafka}/{topic}", "starting_offsets": "latest"}
    place.run_to_the_end(kafka_spark, **given)
    produce(kafka, topic, images[2:])
    place.run_to_the_end(kafka_spark, **given)
    assert place.ids() == [f"{topic}/0/2"]


def test_one_partition_keeps_all_slots_busy(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    topic = new_topic(kafka, partitions=1)
    produce(kafka, topic, digits(drawn, 20))
    place.run_to_the_end(kafka_spark, source=f"kafka://{kafka}/{topic}")
    assert len(list((place.sink / "predictions" / "batch=0").glob("*.parquet"))) == 2


def test_a_dead_letter_too_long_for_its_topic_goes_without_its_bytes(
    kafka_spark: SparkSession, kafka: str, place: Place
) -> None:
    source, sink = new_topic(kafka), new_topic(kafka)
    client = KafkaAdminClient(bootstrap_servers=kafka)
    client.create_topics(
        {sink + DEAD_LETTERS_SUFFIX: {"configs": {"max.message.bytes": "200000"}}}, wait_for_metadata=True
    )
    client.close()
    send(kafka, source, [Message(b"?" * 300_000), Message(b"?" * 100_000)])
    place.job(
        kafka_spark, source=f"kafka://{kafka}/{source}", sink=f"kafka://{kafka}/{sink}", available_now=True
    ).wait()
    rows = sorted(reader(kafka, sink).rows(dead=True), key=lambda row: row["id"])
    assert [(row["size"], row["payload"] and len(row["payload"])) for row in rows] == [
        (300_000, None),
        (100_000, 100_000),
    ]


def test_the_topic_of_dead_letters_takes_the_longest_image(kafka_spark: SparkSession, kafka: str, place: Place) -> None:
    sink = new_topic(kafka)
    long = b"?" * (3 << 20)
    (place.watched / "long.png").write_bytes(long)
    place.job(kafka_spark, sink=f"kafka://{kafka}/{sink}", available_now=True).wait()
    (row,) = reader(kafka, sink).rows(dead=True)
    assert row["payload"] == long


# --- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_broker_that_restarts_loses_nothing(
    kafka_spark: SparkSession, tmp_path: Path, place: Place, drawn: Dataset
) -> None:
    broker = Broker(tmp_path / "broker")
    with broker.running(port=0) as servers:
        topic = new_topic(servers, partitions=2)
        images = digits(drawn, 200)
        producer = threading.Thread(target=produce, args=(servers, topic, images, 40), daemon=True)
        producer.start()
        job = place.job(kafka_spark, source=f"kafka://{servers}/{topic}")
        wait_until(lambda: place.images >= 40 or not job.is_active)
        broker.stop()
        broker.start()
        producer.join(120)
        assert not producer.is_alive()
        wait_until(lambda: place.images >= 200 or not job.is_active)
        job.stop()
        job.wait()
        assert sum(end_offsets(servers, topic).values()) == 200
    assert len(place.ids()) == len(set(place.ids())) == 200


def test_partitions_that_are_added_are_read(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    topic = new_topic(kafka, partitions=1)
    images = digits(drawn, 20)
    produce(kafka, topic, images[:5])
    job = place.job(kafka_spark, source=f"kafka://{kafka}/{topic}")
    wait_until(lambda: place.images >= 5 or not job.is_active)
    client = KafkaAdminClient(bootstrap_servers=kafka)
    client.create_partitions({topic: 3})
    client.close()
    wait_until(lambda: len(end_offsets(kafka, topic)) == 3)
    send(kafka, topic, [Message(image.read(), partition=2) for image in images[5:]])
    wait_until(lambda: place.images >= 20 or not job.is_active)
    job.stop()
    job.wait()
    assert Counter(name.split("/")[1] for name in place.ids()) == {"0": 5, "2": 15}


def expire(servers: str, topic: str, before: int) -> None:
    """Removes the messages of partition 0 that are older than offset `before`, as retention does."""
    client = KafkaAdminClient(bootstrap_servers=servers)
    client.delete_records({TopicPartition(topic, 0): before})
    client.close()


def test_messages_that_expired_unread_stop_the_stream_unless_told_otherwise(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    topic = new_topic(kafka)
    source = f"kafka://{kafka}/{topic}"
    images = digits(drawn, 12)
    produce(kafka, topic, images[:4])
    place.run_to_the_end(kafka_spark, source=source)
    produce(kafka, topic, images[4:])
    expire(kafka, topic, before=8)

    with pytest.raises(SparkdlError, match=r"messages of .* are gone .*--no-fail-on-data-loss"):
        place.run_to_the_end(kafka_spark, source=source)
    assert len(place.ids()) == 4
    place.run_to_the_end(kafka_spark, source=source, fail_on_data_loss=False)
    assert place.ids() == sorted(f"{topic}/0/{n}" for n in (0, 1, 2, 3, 8, 9, 10, 11))


@pytest.mark.slow
def test_a_topic_that_is_deleted_stops_the_stream_with_a_word(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    topic = new_topic(kafka)
    produce(kafka, topic, digits(drawn, 3))
    job = place.job(kafka_spark, source=f"kafka://{kafka}/{topic}")
    wait_until(lambda: place.images >= 3 or not job.is_active)
    client = KafkaAdminClient(bootstrap_servers=kafka)
    client.delete_topics([topic])
    client.close()
    with pytest.raises(SparkdlError, match=f"topic of kafka://{kafka}/{topic} is gone"):
        job.wait()
    with refused(f"no topic {topic} at {kafka}"):
        place.job(kafka_spark, source=f"kafka://{kafka}/{topic}")


def test_a_checkpoint_of_another_topic_is_refused(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    one, two = new_topic(kafka), new_topic(kafka)
    produce(kafka, one, digits(drawn, 1))
    place.run_to_the_end(kafka_spark, source=f"kafka://{kafka}/{one}")
    with refused("belongs to another stream", one, two):
        place.job(kafka_spark, source=f"kafka://{kafka}/{two}")


# --- clients that are not ours -------------------------------------------------------------------------------------


def plain_bitmap(image: LabelledImage) -> bytes:
    """A digit as a BMP file of ASCII bytes without a line's end: what a producer of lines of text can send."""
    with Image.open(io.BytesIO(image.read())) as opened:
        gray = np.asarray(opened.convert("L").resize((28, 28)))
    target = io.BytesIO()
    Image.fromarray(np.repeat(np.where(gray > 127, 127, 0).astype(np.uint8)[..., None], 3, axis=2)).save(
        target, "BMP", dpi=(1, 1)
    )
    content = target.getvalue()
    assert content.isascii()
    assert not {10, 13} & set(content)
    return content


def test_kafkas_own_tools_send_a_file_and_read_predictions(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka), new_topic(kafka)
    bitmap = plain_bitmap(drawn.images[0])
    tool = kafka_tool("org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", kafka, "--topic", source)
    subprocess.run(tool, input=bitmap + b"\n", check=True, capture_output=True, timeout=60)
    assert [message.value for message in received(kafka, source)] == [bitmap]

    place.job(
        kafka_spark, source=f"kafka://{kafka}/{source}", sink=f"kafka://{kafka}/{sink}", available_now=True
    ).wait()

    tool = kafka_tool(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        *("--bootstrap-server", kafka, "--topic", sink, "--from-beginning", "--max-messages", "1"),
        *("--formatter-property", "print.key=true", "--timeout-ms", "60000"),
    )
    said = subprocess.run(tool, check=True, capture_output=True, text=True, timeout=90).stdout
    key, value = said.strip().split("\t")
    row = json.loads(value)
    assert key == row["id"] == f"{source}/0/0"
    assert row["prediction"] in "0123456789"


def test_headers_of_our_producer_are_what_the_contract_says(kafka: str, drawn: Dataset) -> None:
    topic = new_topic(kafka)
    (image,) = digits(drawn, 1)
    produce(kafka, topic, [image])
    (message,) = received(kafka, topic)
    assert (message.key, message.value) == (image.name.encode(), image.read())
    names = {name for name, _ in image_headers(image.read(), "1", datetime.now(UTC))}
    assert {name for name, _ in message.headers} == names
