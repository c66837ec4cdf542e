"""Promises about two streams on one checkpoint or one sink: one of them writes, and nothing is lost or doubled."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from paths import ROOT
from pyspark.sql import DataFrame, SparkSession
from streams import BROKEN, Place, digits, drop, encoded_rows, id_of, rows_of, wait_until

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.images.rejection import Limits
from sparkdl.models.registry import ModelVersion, Registry
from sparkdl.spark.hadoop_fs import Files
from streaming.batch_stats import BatchStats
from streaming.checkpoint.lock import CheckpointLock
from streaming.failures import Failure
from streaming.results import results
from streaming.sinks.parquet import ParquetSink
from training.data.loading import Dataset

OWNER = "0123456789abcdef"
SECONDS = 2.0  # after which a lease expires here


@pytest.fixture
def place(tmp_path: Path, registry: Registry) -> Place:
    (tmp_path / "watched").mkdir()
    return Place(tmp_path, registry)


# --- the command -------------------------------------------------------------------------------------------------


@contextmanager
def running(place: Place, command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A stream in a separate process, of which nothing is left in the end."""
    family: list[psutil.Process] = []
    with (place.root / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=log,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
    try:
        wait_until(lambda: "stream started" in said(place) or process.poll() is not None)
        wait_until(lambda: len(place.ids()) > 0 or process.poll() is not None)
        family = psutil.Process(process.pid).children(recursive=True)
        yield process
    finally:
        for member in family:
            with suppress(psutil.Error):
                member.kill()
        process.kill()
        process.wait()


def said(place: Place) -> str:
    return (place.root / "log").read_text()


def stream_command(place: Place, *arguments: str) -> list[str]:
    places = {"source": place.watched, "sink": place.sink, "model": place.registry.path, "checkpoint": place.checkpoint}
    flags = [str(word) for name, path in places.items() for word in (f"--{name}", path)]
    return ["-m", "console.main", "stream", *flags, "--trigger", "0s", "--conf", "spark.master=local[2]", *arguments]


@pytest.mark.slow
def test_the_second_is_refused_before_spark_and_a_killed_one_leaves_the_checkpoint_free_though_its_jvm_lives(
    place: Place, drawn: Dataset
) -> None:
    images = digits(drawn, 10)
    drop(images, place.watched)
    with running(place, stream_command(place)) as first:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        second = subprocess.run(
            [sys.executable, *stream_command(place)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (second.returncode, second.stdout) == (2, "")
        assert second.stderr.count("\n") == 1
        assert f"{place.checkpoint} is in use by another stream (process {first.pid} on " in second.stderr
        # What it took of a processor: how long it had to wait for one says nothing of it.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
        assert first.poll() is None

        family = psutil.Process(first.pid).children(recursive=True)
        (jvm,) = (process for process in family if "java" in process.name())
        jvm.suspend()  # as if it were busy: it would end by itself soon
        first.kill()
        killed = time.monotonic()
        lock = None
        while lock is None:
            with suppress(RequestError):
                lock = CheckpointLock.acquire(place.checkpoint)
            assert time.monotonic() - killed < 1
        assert jvm.status() == psutil.STATUS_STOPPED
        assert [process for process in family if "python" in process.name() and process.is_running()]
        lock.release()
    assert place.ids() == sorted(map(id_of, images))


HOLD = """
import sys
from pathlib import Path
from sparkdl.spark.session import spark_session
from streaming.checkpoint.lock import CheckpointLock
from streaming.job import StreamJob
from streaming.monitoring.log import BatchLog
from streaming.plan import prepare
from streaming.settings import StreamSettings
source, sink, model, checkpoint, seconds = sys.argv[1:]
places = {"source": source, "sink": sink, "model": model, "checkpoint": checkpoint}
settings = StreamSettings.read(**places, trigger=0, stable_after="0s")
lock = CheckpointLock.acquire(Path(checkpoint), seconds=float(seconds))
plan = prepare(settings)
spark = spark_session("test", plan.spark_conf | {"spark.master": "local[2]"})
job = StreamJob(spark, plan, BatchLog(), lock=lock)
job.start()
job.wait()
"""


@pytest.mark.slow
def test_a_stream_that_was_paused_for_too_long_and_replaced_writes_nothing_more(place: Place, drawn: Dataset) -> None:
    drop(digits(drawn, 10), place.watched)
    paths = (place.watched, place.sink, place.registry.path, place.checkpoint)
    other = place.root / "elsewhere"
    with running(place, ["-c", HOLD, *map(str, paths), str(SECONDS)]) as first:
        wait_until(lambda: len(place.ids()) == 10 or first.poll() is not None)
        first.send_signal(signal.SIGSTOP)
        (other / ".lock").mkdir(parents=True)
        (other / ".lock" / "leases").symlink_to(place.checkpoint / ".lock" / "leases")
        lock = CheckpointLock.acquire(other, seconds=SECONDS, machine="another")
        before = sorted(path for path in place.sink.rglob("*"))
        drop(digits(drawn, 20)[10:], place.watched)
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == 1
        lock.check()
        assert sorted(path for path in place.sink.rglob("*")) == before
        last = said(place).splitlines()[-1]
        assert f"checkpoint {place.checkpoint} is not this stream's any more: it was taken over by process" in last
        assert "Proxy" not in last
        lock.release()


# --- in one process ----------------------------------------------------------------------------------------------


def test_two_jobs_of_one_process_are_two_streams(spark: SparkSession, place: Place, drawn: Dataset) -> None:
    images = digits(drawn, 20)
    job = place.job(spark)
    with pytest.raises(RequestError, match=rf"in use by another stream \(process {os.getpid()} on "):
        place.job(spark)
    drop(images, place.watched)
    wait_until(lambda: place.images == 20 or not job.is_active)
    job.stop()
    job.wait()
    place.run_to_the_end(spark)  # free as soon as `wait` returns
    assert place.ids() == sorted(map(id_of, images))


def test_a_job_that_could_not_be_made_leaves_the_checkpoint_free(spark: SparkSession, place: Place) -> None:
    (place.sink / "predictions").mkdir(parents=True)
    with pytest.raises(RequestError, match="no checkpoint owns"):
        place.job(spark)
    CheckpointLock.acquire(place.checkpoint).release()


@pytest.mark.parametrize(
    "spoken",
    [
        "[CONCURRENT_STREAM_LOG_UPDATE] Concurrent update to the log. Multiple streaming jobs detected for 7.",
        "py4j.Py4JException: An exception was raised by the Python Proxy. Return Message: Traceback\n"
        "java.util.ConcurrentModificationException: there is a concurrent stream",
    ],
)
def test_what_spark_says_of_two_streams_becomes_one_clear_line(spoken: str) -> None:
    failure = Failure.of(RuntimeError(spoken), Path("checkpoint"))
    assert failure.fatal
    assert failure.reason == "another stream writes to checkpoint checkpoint: stop one of them"


# --- the sink, where two attempts meet all the same --------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(spark: SparkSession, model: ModelVersion, drawn: Dataset) -> DataFrame:
    """The outcomes of four drawn digits and two broken images."""
    images = [(image.name, image.read(), image.label) for image in drawn.images[:160:40]]
    images += [(name, BROKEN[name].payload, None) for name in ("nothing.png", "cut.png")]
    return results(encoded_rows(spark, images).coalesce(1), model.load(), model.name, 0.5, Limits())


WRITTEN = BatchStats(predictions=4, dead_letters=2)


def ids(root: Path) -> list[list[str]]:
    return [[row["id"] for row in rows_of(root, part)] for part in ("predictions", "dead_letters")]


def test_an_attempt_that_was_overtaken_decides_nothing(spark: SparkSession, tmp_path: Path, rows: DataFrame) -> None:
    root = tmp_path / "sink"
    overtaken, successor = ParquetSink(str(root)), ParquetSink(str(root))
    # The worst moment: all is staged, and the lock has just been looked at.
    overtaken.open(spark, OWNER, still_ours=lambda: successor.open(spark, OWNER))
    with pytest.raises(SparkdlError, match=r"cannot be renamed to .*ready=0: No such file"):
        overtaken.write(rows, 0)
    assert ids(root) == [[], []]
    assert successor.write(rows, 0) == WRITTEN
    assert [len(part) for part in ids(root)] == [4, 2]


def test_an_attempt_that_is_overtaken_after_it_has_decided_is_completed_by_its_successor(
    spark: SparkSession, tmp_path: Path, rows: DataFrame
) -> None:
    root = tmp_path / "sink"
    successor = ParquetSink(str(root))

    class Paused(ParquetSink):
        def _publish(self, batch_id: int) -> None:
            successor.open(spark, OWNER)
            super()._publish(batch_id)

    overtaken = Paused(str(root))
    overtaken.open(spark, OWNER)
    assert overtaken.write(rows, 0) == WRITTEN
    assert [len(part) for part in ids(root)] == [4, 2]
    assert list((root / "_staging").iterdir()) == []


def test_attempts_at_the_same_batch_do_not_mix(spark: SparkSession, tmp_path: Path, rows: DataFrame) -> None:
    root = tmp_path / "sink"
    together = threading.Barrier(2)
    sinks = [ParquetSink(str(root)) for _ in range(2)]
    for sink in sinks:
        sink.open(spark, OWNER, still_ours=lambda: (together.wait(60), None)[1])

    def write(sink: ParquetSink) -> BatchStats | SparkdlError | None:
        try:
            return sink.write(rows, 0)
        except SparkdlError as error:
            return error

    with ThreadPoolExecutor(2) as writers:
        results = list(writers.map(write, sinks))
    assert WRITTEN in results
    assert [len(part) for part in ids(root)] == [4, 2]
    assert sorted(path.name for path in (root / "predictions").iterdir()) == ["batch=0"]
    assert all(path.suffix == ".parquet" for path in (root / "predictions" / "batch=0").glob("[!.]*"))


def test_what_a_zombie_leaves_is_removed_by_the_next_start(
    spark: SparkSession, tmp_path: Path, rows: DataFrame
) -> None:
    left = tmp_path / "sink" / "_staging" / "batch=7-0123" / "predictions" / "_temporary"
    left.mkdir(parents=True)
    sink = ParquetSink(str(tmp_path / "sink"))
    sink.open(spark, OWNER)
    assert not left.parent.parent.exists()
    left.mkdir(parents=True)  # it still writes
    assert sink.write(rows, 7) == WRITTEN
    assert left.exists()


def test_of_two_checkpoints_that_take_a_new_sink_at_once_one_has_it(spark: SparkSession, tmp_path: Path) -> None:
    for number in range(20):
        root = tmp_path / str(number)
        together = threading.Barrier(4)

        def take(checkpoint: str, root: Path = root, together: threading.Barrier = together) -> str:
            sink = ParquetSink(str(root))
            together.wait(60)
            try:
                sink.open(spark, checkpoint)
            except RequestError as error:
                return str(error)
            return ""

        with ThreadPoolExecutor(4) as takers:
            answers = list(takers.map(take, "abcd"))
        assert answers.count("") == 1
        owner = "abcd"[answers.index("")]
        assert sum(f"holds batches of another checkpoint ({owner})" in answer for answer in answers) == 3


def test_a_sink_without_links_is_taken_exclusively_too(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*paths: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    ParquetSink(str(tmp_path / "sink")).open(spark, OWNER)
    with pytest.raises(RequestError, match=f"another checkpoint \\({OWNER}\\)"):
        ParquetSink(str(tmp_path / "sink")).open(spark, "other")
    assert not Files(spark).create(f"{tmp_path}/sink/_checkpoint.json", "third")


@pytest.fixture
def a_file_system_that_is_not_local(spark: SparkSession, tmp_path: Path) -> str:
    """An address at which Hadoop's own file operations are used."""
    conf: Any = spark._jsc.hadoopConfiguration()
    conf.set("fs.viewfs.mounttable.volume.link./sink", f"file:{tmp_path / 'sink'}")
    (tmp_path / "sink").mkdir()
    return "viewfs://volume/sink"


@pytest.mark.parametrize("where", ["local", "elsewhere"])
def test_a_rename_never_moves_into_a_directory_that_is_there(
    spark: SparkSession, tmp_path: Path, where: str, a_file_system_that_is_not_local: str
) -> None:
    root = str(tmp_path / "sink") if where == "local" else a_file_system_that_is_not_local
    files = Files(spark)
    for name in ("a", "b"):
        (tmp_path / "sink" / name).mkdir()
        (tmp_path / "sink" / name / "file").write_text(name)
    for source, target in (("a", "b"), ("missing", "c")):
        with pytest.raises(SparkdlError, match=rf"{source} cannot be renamed to .*{target}: "):
            files.rename(f"{root}/{source}", f"{root}/{target}")
    files.rename(f"{root}/a", f"{root}/c")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("file")) == ["sink/b/file", "sink/c/file"]
    assert files.create(f"{root}/new", "first")
    assert not files.create(f"{root}/new", "second")
    assert files.read(f"{root}/new") == "first"
    assert sorted(path.name for path in (tmp_path / "sink").glob("[!.]*")) == ["b", "c", "new"]
