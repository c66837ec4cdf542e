"""Promises of a stream of slow images: it reports them, classifies the good ones, and ends on request."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from slow_pictures import many_scans
from streams import Place, digits, drop, id_of, rows_of, wait_until

from sparkdl.decoding.isolation.time_limit import AdaptiveTimeout
from sparkdl.models.registry import Registry
from streaming.supervision import query
from training.data.loading import Dataset, LabelledImage


def test_slow_images_make_a_stream_unready_and_hold_it_for_a_stated_time(
    spark: SparkSession, tmp_path: Path, registry: Registry, drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query, "_LONG", 1.0)
    place = Place(tmp_path, registry)
    place.watched.mkdir()
    good, payload = digits(drawn, 20), many_scans()
    slow = [LabelledImage(f"slow-{number}.jpg", "slow", payload=payload) for number in range(20)]
    drop([*good, *slow], place.watched)
    job = place.job(spark, decode_timeout="2s")
    wait_until(lambda: "micro-batch has taken" in job.health().why or not job.is_active)
    assert job.health().live
    assert not job.health().ready
    asked = time.monotonic()
    job.stop()
    job.wait()
    assert time.monotonic() - asked < 1.5 * 2 + 1.2 * 20 * AdaptiveTimeout(2).min_limit(len(payload)) + 10
    assert [row["id"] for row in rows_of(place.sink)] == sorted(map(id_of, good))
    dead = rows_of(place.sink, "dead_letters")
    assert [row["id"] for row in dead] == sorted(map(id_of, slow))
    assert {(row["reason"], bytes(row["payload"])) for row in dead} == {("decoder_timeout", payload)}
    assert any("instead of 2 s" in row["detail"] for row in dead)
