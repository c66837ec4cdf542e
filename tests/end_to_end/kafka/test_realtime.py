"""Promises of the real-time mode: the rows of micro-batches, each message answered, whatever dies or changes."""

from __future__ import annotations

import base64
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaAdminClient
from pyspark.sql import SparkSession
from streams import BROKEN, MAX_BYTES, Place, digits, wait_until
from topics import Message, end_offsets, new_sink, new_topic, reader, send

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.registry import ModelVersion, Registry
from streaming.job import StreamJob
from training.data.loading import Dataset
from training.fitting.recipes import recipe
from training.train import train

SECOND = "20990101T000000-second"
TIMES = {"predicted_at", "failed_at", "batch_id"}


@pytest.fixture
def place(tmp_path: Path, model: ModelVersion) -> Place:
    """A place with a separate registry, which holds two copies of the shared model, one promoted."""
    (tmp_path / "watched").mkdir()
    registry = Registry(tmp_path / "models")
    shutil.copytree(model.path, registry.path / model.name)
    shutil.copytree(model.path, registry.path / SECOND)
    registry.promote(model.name)
    return Place(tmp_path, registry)


class Sink:
    """A topic of predictions and its topic of dead letters."""

    def __init__(self, servers: str) -> None:
        self.servers, self.topic = servers, new_sink(servers)

    @property
    def address(self) -> str:
        return f"kafka://{self.servers}/{self.topic}"

    def count(self) -> int:
        topics = (self.topic, f"{self.topic}.dead-letters")
        return sum(sum(end_offsets(self.servers, topic).values()) for topic in topics)

    def rows(self) -> dict[str, dict[str, Any]]:
        results = reader(self.servers, self.topic)
        return {row["id"]: row for dead in (False, True) for row in results.rows(dead=dead)}


def stop_after(job: StreamJob, sink: Sink, count: int) -> None:
    """Stops a stream once its sink has `count` results."""
    wait_until(lambda: sink.count() >= count or not job.is_active)
    job.stop()
    job.wait()


def messages(drawn: Dataset, wrap: Callable[[bytes], bytes]) -> list[Message]:
    """Good images with and without headers, and broken ones."""
    good = [image.read() for image in digits(drawn, 40)]
    headers = [("label", b"7"), ("produced-at", b"2026-01-02T03:04:05.678901Z")]
    return [
        *(Message(wrap(image), str(n).encode(), headers if n % 2 else ()) for n, image in enumerate(good)),
        *(Message(wrap(broken.payload)) for broken in BROKEN.values()),
        Message(None, b"a key"),
        Message(b"neither image nor envelope", headers=[("label", b"\xff\xfe")]),
    ]


def as_json(payload: bytes) -> bytes:
    return json.dumps({"picture": {"data": base64.b64encode(payload).decode()}}).encode()


def as_event(payload: bytes) -> bytes:
    event = {"specversion": "1.0", "id": "1", "source": "/camera", "type": "picture"}
    return json.dumps(event | {"data_base64": base64.b64encode(payload).decode()}).encode()


FORMS: dict[str, Callable[[bytes], bytes]] = {"raw": bytes, "json:picture.data": as_json, "cloudevents": as_event}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_rows_are_those_of_micro_batches_to_the_last_bit(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset, form: str
) -> None:
    source, batches, realtime = new_topic(kafka, partitions=2), Sink(kafka), Sink(kafka)
    sent = messages(drawn, FORMS[form])
    send(kafka, source, sent)
    given: dict[str, Any] = {
        "source": f"kafka://{kafka}/{source}",
        "message": form,
        "max_bytes": MAX_BYTES,
        "review_below": 0.99,
    }
    compare(kafka_spark, place, batches, realtime, len(sent), **given)


@pytest.mark.slow
def test_rows_of_an_int8_model_are_those_of_micro_batches_too(
    kafka_spark: SparkSession, kafka: str, tmp_path: Path, drawn: Dataset
) -> None:
    (tmp_path / "watched").mkdir()
    place = Place(tmp_path, Registry(tmp_path / "models"))
    settings = ["precision=int8", "max_iter=5", "augmentations=0"]
    train(kafka_spark, drawn, recipe("digits", settings), place.registry)
    source, batches, realtime = new_topic(kafka, partitions=2), Sink(kafka), Sink(kafka)
    sent = messages(drawn, bytes)
    send(kafka, source, sent)
    compare(kafka_spark, place, batches, realtime, len(sent), source=f"kafka://{kafka}/{source}", review_below=0.99)


def compare(spark: SparkSession, place: Place, batches: Sink, realtime: Sink, count: int, **given: Any) -> None:
    """Answers a topic of `count` messages by micro-batches and in real time, and compares the rows."""
    place.run_to_the_end(spark, sink=batches.address, **given)
    job = place.job(spark, sink=realtime.address, trigger="realtime", checkpoint=place.root / "other", **given)
    stop_after(job, realtime, count)

    expected, found = batches.rows(), realtime.rows()
    assert realtime.count() == len(expected) == count
    assert found.keys() == expected.keys()
    for name, row in expected.items():
        assert {key: found[name][key] for key in row.keys() - TIMES} == {key: row[key] for key in row.keys() - TIMES}
        assert found[name]["batch_id"] == 0
        assert found[name].keys() == row.keys()
    assert {row.get("needs_review") for row in found.values()} == {None, True, False}


@pytest.mark.slow
def test_scorers_that_are_killed_lose_nothing(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka, partitions=2), Sink(kafka)
    images = [image.read() for image in digits(drawn, 300)]
    job = place.job(kafka_spark, source=f"kafka://{kafka}/{source}", sink=sink.address, trigger="realtime")
    send(kafka, source, [Message(image) for image in images[:20]])
    wait_until(lambda: sink.count() >= 20 or not job.is_active)
    for number, image in enumerate(images[20:]):
        if number % 30 == 15:
            scorers()[number % 4 // 2].send_signal(signal.SIGKILL)
        if number == 200:
            supervisor().send_signal(signal.SIGKILL)
        send(kafka, source, [Message(image)])
    stop_after(job, sink, len(images))
    assert len(sink.rows()) == sink.count() == len(images)
    wait_until(lambda: not supervisors())


def supervisor() -> psutil.Process:
    """The process that starts scorers."""
    (found,) = supervisors()
    return found


def supervisors() -> list[psutil.Process]:
    java = [process for process in psutil.Process().children() if "java" in process.name()]
    return [child for process in java for child in process.children() if "streaming.realtime.scorer" in words_of(child)]


def words_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def scorers() -> list[psutil.Process]:
    return [process for process in supervisor().children() if "streaming.realtime.scorer" in words_of(process)]


@pytest.mark.slow
def test_a_promoted_model_answers_without_a_pause(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka, partitions=2), Sink(kafka)
    images = [image.read() for image in digits(drawn, 400)]
    job = place.job(kafka_spark, source=f"kafka://{kafka}/{source}", sink=sink.address, trigger="realtime")
    sent = 0

    def feed() -> bool:
        nonlocal sent
        send(kafka, source, [Message(images[sent % len(images)])])
        sent += 1
        return not job.is_active

    wait_until(lambda: feed() or sink.count() > 0)
    wait_until(lambda: job.health().ready)
    first = place.models[0]
    place.registry.promote(SECOND)
    wait_until(lambda: feed() or place.models[-1] == SECOND)
    for _ in range(10):
        feed()
    stop_after(job, sink, sent)
    rows = sink.rows()
    assert len(rows) == sink.count() == sent
    for partition in ("0", "1"):  # each has all of the first, then all of the second
        ids = sorted((row for row in rows if row.split("/")[1] == partition), key=lambda name: int(name.split("/")[2]))
        names = [rows[name]["model"] for name in ids]
        assert names == sorted(names, key=[first, SECOND].index)
    assert {row["model"] for row in rows.values()} == {first, SECOND}
    assert {row["batch_id"] for row in rows.values()} == {0}


@pytest.mark.slow
def test_partitions_that_are_added_are_read(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka, partitions=1), Sink(kafka)
    images = [image.read() for image in digits(drawn, 20)]
    send(kafka, source, [Message(image) for image in images[:5]])
    job = place.job(kafka_spark, source=f"kafka://{kafka}/{source}", sink=sink.address, trigger="realtime")
    wait_until(lambda: sink.count() >= 5 or not job.is_active)
    grow(kafka, source, 2)
    send(kafka, source, [Message(image, partition=1) for image in images[5:]])
    wait_until(lambda: sink.count() >= 20 or not job.is_active)
    # The session has two slots.
    grow(kafka, source, 3)
    with pytest.raises(SparkdlError, match=r"^the topics now have 3 partitions, and Spark has 2 task slots: "):
        job.wait()
    assert len(sink.rows()) == 20


def grow(servers: str, topic: str, partitions: int) -> None:
    client = KafkaAdminClient(bootstrap_servers=servers)
    client.create_partitions({topic: partitions})
    client.close()
    wait_until(lambda: len(end_offsets(servers, topic)) == partitions)


def test_more_partitions_than_slots_are_refused(kafka_spark: SparkSession, kafka: str, place: Place) -> None:
    source, sink = new_topic(kafka, partitions=3), Sink(kafka)
    with pytest.raises(RequestError, match=r"a task slot for each of the 3 partitions, and Spark has 2: "):
        place.job(kafka_spark, source=f"kafka://{kafka}/{source}", sink=sink.address, trigger="realtime")
