"""Promises of a Kafka sink that Spark writes as a part of the query, on a real broker."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from streams import Place, digits, wait_until
from topics import Message, end_offsets, new_topic, produce, reader, send

from sparkdl.models.registry import Registry
from training.data.loading import Dataset


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    return Place(tmp_path, registry)


def test_a_stream_that_is_stopped_again_and_again_sends_each_result_once(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    """It is stopped while micro-batches follow each other without a pause, and each time between two of them."""
    source, sink = new_topic(kafka), new_topic(kafka)
    produce(kafka, source, digits(drawn, 240))
    settings = {"source": f"kafka://{kafka}/{source}", "sink": f"kafka://{kafka}/{sink}", "trigger": "0s"}
    for aim in (30, 80, 130, 180, 240):
        job = place.job(kafka_spark, **settings, max_images_per_trigger=6)
        wait_until(lambda: place.images >= aim or not job.is_active)  # noqa: B023 - called in this turn of the loop
        job.stop()
        job.wait()
    rows = list(reader(kafka, sink).rows())
    assert Counter(row["id"] for row in rows) == Counter(f"{source}/0/{n}" for n in range(240))
    assert sum(end_offsets(kafka, sink).values()) == 240  # the reader would show a result that is there twice once


def test_rows_have_their_micro_batch_and_the_time_they_were_scored_at(
    kafka_spark: SparkSession, kafka: str, place: Place, drawn: Dataset
) -> None:
    source, sink = new_topic(kafka), new_topic(kafka)
    produce(kafka, source, digits(drawn, 6))
    send(kafka, source, [Message(b"GIF89a")])
    before = datetime.now(UTC)
    place.job(
        kafka_spark,
        source=f"kafka://{kafka}/{source}",
        sink=f"kafka://{kafka}/{sink}",
        max_images_per_trigger=3,
        min_partitions=1,
        available_now=True,
    ).wait()
    rows = sorted(reader(kafka, sink).rows(), key=lambda row: int(row["id"].rsplit("/", 1)[1]))
    assert [row["batch_id"] for row in rows] == [0, 0, 0, 1, 1, 1]
    (dead,) = reader(kafka, sink).rows(dead=True)
    assert dead["batch_id"] == 2
    times = [row["predicted_at"] for row in rows] + [dead["failed_at"]]
    assert all(before < time < datetime.now(UTC) for time in times)
    assert max(times[:3]) < min(times[3:6]) <= max(times[3:6]) < times[6]
    assert [(batch.predictions, batch.dead_letters) for batch in place.batches] == [(3, 0), (3, 0), (0, 1)]
    slowest = max(batch.latency.max for batch in place.batches if batch.latency)
    assert slowest == pytest.approx(
        max((row["predicted_at"] - row["produced_at"]).total_seconds() for row in rows), abs=5
    )
    assert all(batch.latency and batch.latency.counts[-1] == batch.images for batch in place.batches)
