"""The Parquet sink: each micro-batch appears whole, once, to whoever reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError, SparkdlError
from streaming.classify import dead_letters, predictions
from streaming.sinks.base import Sink, Written

PREDICTIONS, DEAD_LETTERS = "predictions", "dead_letters"
_OWNER = "_checkpoint.json"
_STAGING = "_staging"


class ParquetSink(Sink):
    """Parquet files, exactly once, no half-written batch ever visible.

    `DIR/predictions/batch=N/*.parquet` and `DIR/dead_letters/batch=N/*.parquet`, readable by anything that reads
    Parquet. A batch is written under `DIR/_staging`, and becomes decided by one rename there (`ready=N`); only then
    its two parts are renamed to their places, dead letters first. A batch that was cut off before it was decided is
    written anew; one that was cut off after is completed from what was staged, never computed again, so that both
    parts always come from the same computation. Needs a file system whose rename of a directory is atomic (a local
    disk, HDFS).
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        self._files = _Files(spark)
        self._root = absolute(root)

    def open(self, checkpoint_id: str) -> None:
        try:
            self._open(checkpoint_id)
        except Py4JJavaError as error:
            raise RequestError(f"sink {self._root} cannot be opened: {error.java_exception.getMessage()}") from error

    def _open(self, checkpoint_id: str) -> None:
        owner = f"{self._root}/{_OWNER}"
        if self._files.exists(owner):
            found = json.loads(self._files.read(owner))["checkpoint"]
            if found != checkpoint_id:
                raise RequestError(
                    f"sink {self._root} holds batches of another checkpoint ({found}); this one is {checkpoint_id}: "
                    "use the checkpoint it was written with, or another sink"
                )
        else:
            if self._files.exists(f"{self._root}/{PREDICTIONS}"):
                raise RequestError(f"sink {self._root} holds predictions that no checkpoint owns: use another sink")
            self._files.write(owner, json.dumps({"checkpoint": checkpoint_id}) + "\n")
        for ready in self._files.names(f"{self._root}/{_STAGING}"):
            if ready.startswith("ready="):
                self._publish(int(ready.removeprefix("ready=")))

    def write(self, rows: DataFrame, batch_id: int) -> Written | None:
        files, staging = self._files, f"{self._root}/{_STAGING}"
        if files.exists(f"{staging}/ready={batch_id}"):
            self._publish(batch_id)
        if files.exists(f"{self._root}/{PREDICTIONS}/batch={batch_id}"):
            return None
        staged = f"{staging}/batch={batch_id}"
        files.delete(staged)
        rows.persist(StorageLevel.MEMORY_AND_DISK)  # evaluated once, by the first of the writes
        try:
            _write_parquet(predictions(rows, batch_id), f"{staged}/{PREDICTIONS}")
            total, failed = rows.select(F.count(F.lit(1)), F.count("reason")).collect()[0]
            if failed:
                _write_parquet(dead_letters(rows, batch_id), f"{staged}/{DEAD_LETTERS}")
        finally:
            rows.unpersist()
        files.rename(staged, f"{staging}/ready={batch_id}")
        self._publish(batch_id)
        return Written(total - failed, failed)

    def _publish(self, batch_id: int) -> None:
        """Moves a decided batch to its places; can be cut off and called again at any point."""
        ready = f"{self._root}/{_STAGING}/ready={batch_id}"
        for part in (DEAD_LETTERS, PREDICTIONS):
            if self._files.exists(f"{ready}/{part}"):
                self._files.make_directory(f"{self._root}/{part}")
                self._files.rename(f"{ready}/{part}", f"{self._root}/{part}/batch={batch_id}")
        self._files.delete(ready)


def parquet_directory(address: str) -> str:
    """The directory of a Parquet sink's address.

    Raises
    ------
    RequestError
        If it is the address of something else, or the directory is a file.
    """
    scheme, separator, rest = address.partition(":")
    if separator and scheme != "parquet" and "/" not in scheme:
        raise RequestError(
            f"expected the sink as parquet:DIR, a directory, kafka://HOST:PORT/TOPIC or console, received {address!r}"
        )
    directory = rest if separator and scheme == "parquet" else address
    if not directory or Path(directory).is_file():
        raise RequestError(f"expected the sink as a directory, received {address!r}")
    return directory


def absolute(directory: str) -> str:
    """The directory's whole path; an address of another file system is left as it is."""
    return directory.rstrip("/") if "://" in directory else str(Path(directory).resolve())


def _write_parquet(rows: DataFrame, path: str) -> None:
    # Spark's own default is a type of old that knows no time zone, and no year after 2262 to most readers.
    rows.sparkSession.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    rows.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").parquet(path)


class _Files:
    """The few file operations of a sink, on whatever file system Spark writes to."""

    def __init__(self, spark: SparkSession) -> None:
        self._jvm: Any = spark.sparkContext._jvm
        self._conf = spark._jsc.hadoopConfiguration()

    def _open(self, path: str) -> tuple[Any, Any]:
        place = self._jvm.org.apache.hadoop.fs.Path(path)
        return place.getFileSystem(self._conf), place

    def exists(self, path: str) -> bool:
        system, place = self._open(path)
        return bool(system.exists(place))

    def names(self, directory: str) -> list[str]:
        system, place = self._open(directory)
        return [status.getPath().getName() for status in system.listStatus(place)] if system.exists(place) else []

    def make_directory(self, path: str) -> None:
        system, place = self._open(path)
        if not system.mkdirs(place):
            raise SparkdlError(f"the directory {path} cannot be made")

    def rename(self, source: str, target: str) -> None:
        system, place = self._open(source)
        if not system.rename(place, self._jvm.org.apache.hadoop.fs.Path(target)):
            raise SparkdlError(f"{source} cannot be renamed to {target}")

    def delete(self, path: str) -> None:
        system, place = self._open(path)
        if system.exists(place) and not system.delete(place, True):
            raise SparkdlError(f"{path} cannot be removed")

    def write(self, path: str, text: str) -> None:
        """A small file, under a temporary name first, so that it is never half there."""
        partial = f"{path}.partial"
        system, place = self._open(partial)
        stream = system.create(place, True)
        try:
            stream.write(text.encode())
        finally:
            stream.close()
        self.rename(partial, path)

    def read(self, path: str) -> str:
        system, place = self._open(path)
        stream = system.open(place)
        try:
            return bytes(stream.readAllBytes()).decode()
        finally:
            stream.close()
