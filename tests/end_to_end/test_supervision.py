"""Promises of `streaming.job` about failures: what may pass is tried again, what lasts is said in one line."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import weakref
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from pyspark.sql import DataFrame, SparkSession
from streams import Place, digits, drop, id_of, wait_until

from console.main import run
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.models.registry import Registry
from streaming.batch_stats import BatchStats
from streaming.checkpoint.lock import CheckpointLock
from streaming.failures import Failure
from streaming.job import StreamJob
from streaming.monitoring.metrics import Metrics
from streaming.monitoring.server import parse_http, serve
from streaming.plan import prepare
from streaming.sinks.base import BatchSink
from streaming.sources.directory.source import DirectorySource
from streaming.sources.factory import parse_source
from training.data.loading import Dataset


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    (tmp_path / "watched").mkdir()
    return Place(tmp_path, registry)


def break_sink(place: Place) -> None:
    """Puts a file where the predictions should go."""
    shutil.rmtree(place.sink / "predictions", ignore_errors=True)
    (place.sink / "predictions").write_text("in the way")


def repair_sink(place: Place) -> None:
    (place.sink / "predictions").unlink()


def test_a_stream_whose_sink_is_away_for_a_while_goes_on_and_loses_nothing(
    spark: SparkSession, place: Place, drawn: Dataset
) -> None:
    images = digits(drawn, 20)
    job = place.job(spark, retries=5, max_images_per_trigger=5)
    break_sink(place)
    drop(images, place.watched)
    wait_until(lambda: len(place.failures) > 0 or not job.is_active)
    wait_until(lambda: not job.health().ready)
    assert job.health().live
    assert "is started again" in job.health().why
    repair_sink(place)
    wait_until(lambda: place.images == 20 or not job.is_active)
    wait_until(lambda: job.health().ready)
    job.stop()
    job.wait()
    assert place.ids() == sorted(map(id_of, images))
    assert all("\n" not in failure.reason for failure in place.failures)
    assert not job.health().live


def test_a_stream_that_has_ended_is_let_go_of(spark: SparkSession, place: Place, drawn: Dataset) -> None:
    drop(digits(drawn, 1), place.watched)
    job = place.job(spark, available_now=True)
    job.wait()
    ended = weakref.ref(job)
    del job
    gc.collect()
    assert ended() is None


@pytest.mark.parametrize("what", ["sink", "checkpoint"])
def test_a_directory_that_is_gone_is_not_created_again(
    spark: SparkSession, place: Place, drawn: Dataset, what: str
) -> None:
    directory = place.root / what
    images = digits(drawn, 20)
    drop(images[:10], place.watched)
    aside = place.root / "aside"
    job = place.job(spark, retries=5)
    wait_until(lambda: place.images == 10 or not job.is_active)
    directory.rename(aside)
    drop(images[10:], place.watched)
    wait_until(lambda: len(place.failures) > 1 or not job.is_active)
    assert "is gone" in place.failures[-1].reason
    shutil.rmtree(directory, ignore_errors=True)
    aside.rename(directory)
    wait_until(lambda: place.images == 20 or not job.is_active)
    job.stop()
    job.wait()
    assert place.ids() == sorted(map(id_of, images))


def test_a_failure_that_stays_ends_the_stream_after_as_many_attempts_as_asked_for(
    spark: SparkSession, place: Place, drawn: Dataset
) -> None:
    job = place.job(spark, retries=1)
    break_sink(place)
    drop(digits(drawn, 1), place.watched)
    with pytest.raises(SparkdlError, match=r"^the stream failed 2 times in a row: .*predictions"):
        job.wait()
    assert len(place.failures) == 1
    repair_sink(place)
    place.run_to_the_end(spark)
    assert len(place.ids()) == 1


def test_a_stream_that_waits_to_be_started_again_stops_at_once_when_asked(
    spark: SparkSession, place: Place, drawn: Dataset
) -> None:
    job = place.job(spark, retries=100)
    break_sink(place)
    drop(digits(drawn, 1), place.watched)
    wait_until(lambda: len(place.failures) == 3 or not job.is_active)  # the third waits 4 s
    started = time.monotonic()
    job.stop()
    job.wait()
    assert time.monotonic() - started < 3


SOURCE = parse_source("kafka://broker:9092/images")


@pytest.mark.parametrize(
    ("said", "fatal"),
    [
        ("Caused by: java.io.IOException: No space left on device", False),
        ("Caused by: java.io.EOFException: Python worker exited unexpectedly (crashed)", False),
        ("Caused by: org.apache.kafka.common.errors.TimeoutException: timed out", False),
        ("Caused by: org.apache.kafka.common.errors.TopicAuthorizationException: no", True),
        ("Caused by: org.apache.spark.sql.AnalysisException: no such column", True),
        ("Caused by: java.lang.OutOfMemoryError: Java heap space", True),
        ("java.lang.IllegalStateException: [KAFKA_DATA_LOSS] gone", True),
    ],
)
def test_transient_failures_are_told_from_fatal_ones(said: str, fatal: bool) -> None:
    error = RuntimeError(f"[STREAM_FAILED] it ended\n{said}")
    assert Failure.of(error, Path("checkpoint"), [SOURCE.describe_error]).fatal is fatal


# --- health and metrics over HTTP --------------------------------------------------------------------------------


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_stream_answers_how_it_is_and_what_it_has_done(spark: SparkSession, place: Place, drawn: Dataset) -> None:
    metrics = Metrics()
    drop(digits(drawn, 7), place.watched)
    (place.watched / "empty.png").touch()
    job = place.job(spark, observers=(metrics,))
    with serve("0", job.health, metrics) as address:
        wait_until(lambda: place.images == 8 or not job.is_active)
        wait_until(lambda: get(f"{address}/readyz")[0] == 200)
        status, said = get(f"{address}/livez")
        assert (status, json.loads(said)) == (200, {"live": True, "ready": True, "why": "", "model": job.model.name})
        _, text = get(f"{address}/metrics")
        assert 'sparkdl_images_total{result="prediction"} 7.0' in text
        assert 'sparkdl_images_total{result="dead_letter"} 1.0' in text
        assert f'sparkdl_model_info{{version="{job.model.name}"}} 1.0' in text
        assert "sparkdl_models_refused_total 0.0" in text
        job.stop()
        job.wait()
        for path in ("livez", "readyz"):
            status, said = get(f"{address}/{path}")
            assert (status, json.loads(said)["why"]) == (503, "it has ended")
        assert get(f"{address}/")[0] == 404
        assert address.startswith("http://127.0.0.1:")
        with (
            pytest.raises(RequestError, match="cannot listen on"),
            serve(address.removeprefix("http://"), job.health, metrics),
        ):
            pass


def test_a_stream_that_is_starting_is_alive_and_not_ready(spark: SparkSession, place: Place) -> None:
    metrics = Metrics()
    job = StreamJob(spark, prepare(place.settings()))
    with serve("0", job.health, metrics) as address:
        for path, expected in (("livez", 200), ("readyz", 503)):
            status, said = get(f"{address}/{path}")
            assert (status, json.loads(said)["why"]) == (expected, "it is starting")


def test_the_command_answers_before_it_starts_spark(place: Place) -> None:
    command = [sys.executable, "-m", "console.main", "stream", "--source", place.watched, "--sink", place.sink]
    command += ["--model", place.registry.path, "--checkpoint", place.checkpoint, "--http", "0"]
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True, cwd=ROOT) as stream:
        try:
            assert stream.stderr is not None
            answering = json.loads(stream.stderr.readline())
            assert answering["event"] == "answering"
            assert stream.stderr.readline().startswith("starting Spark")
            assert get(answering["livez"])[0] == 200
            status, said = get(answering["readyz"])
            assert (status, json.loads(said)["why"]) == (503, "it is starting")
        finally:
            stream.kill()


def test_an_address_to_answer_on_is_a_port_with_or_without_a_host() -> None:
    assert parse_http("9090") == ("127.0.0.1", 9090)
    assert parse_http("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_http("[::]:80") == ("::", 80)
    for wrong in ("", "host", "host:", "1:99999"):
        with pytest.raises(RequestError, match="expected --http as PORT or HOST:PORT"):
            parse_http(wrong)


class RaisingSink(BatchSink):
    """A sink of a user that fails as it was told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def identity(self) -> str:
        return "raising"

    def is_complete(self, batch_id: int) -> bool:
        return False

    def write(self, results: DataFrame, batch_id: int) -> BatchStats | None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Exception("disk on fire"), "Exception: disk on fire"),
        (Warning(), "Warning, without a message"),
        (SparkdlError("set X to Y"), "set X to Y"),
    ],
)
def test_what_a_sink_raises_is_said_without_the_words_of_spark_and_py4j(
    spark: SparkSession, place: Place, drawn: Dataset, error: Exception, line: str
) -> None:
    drop(digits(drawn, 1), place.watched)
    job = place.job(spark, sink=RaisingSink(error), available_now=True)
    with pytest.raises(SparkdlError, match=f"^the stream failed: {line}$"):
        job.wait()


def test_a_stream_that_spark_cannot_start_says_why_in_one_line(spark: SparkSession, place: Place) -> None:
    class Headless(DirectorySource):
        def open(self, *arguments: Any, **options: Any) -> DataFrame:
            return super().open(*arguments, **options).drop("id")

    with pytest.raises(SparkdlError, match=r"^the stream cannot be started: .*`?id`?.*$") as raised:
        place.job(spark, source=Headless(place.watched))
    assert "\n" not in str(raised.value)
    CheckpointLock.acquire(place.checkpoint).release()


def test_the_stack_of_a_failure_is_shown_with_debug_alone(
    spark: SparkSession, place: Place, drawn: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    place.run_to_the_end(spark)
    break_sink(place)
    drop(digits(drawn, 1), place.watched)
    request = ["stream", "--source", place.watched, "--sink", place.sink, "--model", place.registry.path]
    request += ["--checkpoint", place.checkpoint, "--available-now", "--retries", "0"]
    assert run([*map(str, request)]) == 1
    plain = capfd.readouterr().err
    repair_sink(place)
    place.run_to_the_end(spark)
    break_sink(place)
    (place.watched / "another.png").write_bytes(digits(drawn, 1)[0].read())
    assert run([*map(str, request), "--debug"]) == 1
    debugged = capfd.readouterr().err
    assert "\tat org.apache.spark" not in plain
    assert "at org.apache.spark" in debugged
    assert plain.splitlines()[-1] == debugged.splitlines()[-1]
    assert plain.splitlines()[-1].startswith("sparkdl: the stream failed: ")
