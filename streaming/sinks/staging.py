"""What the sinks that promise exactly once share: a micro-batch is staged, decided by one rename, then published."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar
from uuid import uuid4

from py4j.protocol import Py4JJavaError
from pyspark import StorageLevel
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.spark.hadoop_fs import Files
from streaming.fault_injection import FaultPoint, fault_point
from streaming.results import dead_letters, predictions
from streaming.sinks.address import SinkKind, absolute
from streaming.sinks.base import Sink, Written, always

PREDICTIONS, DEAD_LETTERS = "predictions", "dead_letters"
_OWNER = "_checkpoint.json"
_STAGING = "_staging"
_READY, _ATTEMPT = "ready=", "batch="


class StagedSink(Sink):
    """A directory whose micro-batches are published from what was staged, and from nothing else.

    A batch is written as Parquet under `DIR/_staging/batch=N-ATTEMPT`, and becomes decided by one rename, to
    `DIR/_staging/ready=N`; only then its two parts are brought to their places, dead letters first. A batch that was
    cut off before it was decided is written again; one that was cut off after is completed from what was staged, at the
    next start or when Spark repeats it. It is never computed again, so that both parts always come from the same
    computation. Needs a file system whose rename of a directory is atomic (a local disk, HDFS).

    No attempt writes where another does. `open` removes what other attempts have staged before it looks for what is
    decided: after that none of them can decide anything, since what it would rename is gone. What the JVM of a killed
    driver still writes lies there, in nobody's way, until the next `open`.

    `DIR/_checkpoint.json` names the checkpoint whose batch ids are meant.
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        # Spark's own default is a type of old that knows no time zone, and no year after 2262 to most readers. A stream
        # writes in a copy of this session.
        spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        self._spark = spark
        self._files = Files(spark)
        self._root = absolute(root)
        self._staging = f"{self._root}/{_STAGING}"
        self._owner = f"{self._root}/{_OWNER}"
        self._still_ours: Callable[[], None] = always
        self._attempt = ""
        """What was staged last and perhaps not decided."""
        self._decided: dict[int, Written] = {}
        """What was staged here and has not been told of, since publishing failed."""

    # --- what a kind of sink says ------------------------------------------------------------------------------------

    kind: ClassVar[SinkKind]

    @abstractmethod
    def _prepare(self) -> None:
        """Makes what has to be there before the first batch; can be cut off and called again at any point."""

    @abstractmethod
    def is_complete(self, batch_id: int) -> bool:
        """Whether a batch is in its place already, and nothing of it is staged."""

    @abstractmethod
    def _place(self, staged: str, part: str, batch_id: int) -> None:
        """Brings the Parquet files in the directory `staged` to the place of `part`, unless they are there."""

    @abstractmethod
    def _clear(self, ready: str, batch_id: int) -> None:
        """Removes what is left of a batch that is in its place."""

    # --- what all of them do -----------------------------------------------------------------------------------------

    def open(self, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        self._checkpoint = checkpoint_id
        self._still_ours = still_ours
        try:
            self._claim(checkpoint_id)
            self._prepare()
            for name in self._files.names(self._staging):
                if name.startswith(_ATTEMPT):
                    self._files.delete(f"{self._staging}/{name}")
            for name in self._files.names(self._staging):
                if name.startswith(_READY):
                    self._publish(int(name.removeprefix(_READY)))
        except Py4JJavaError as error:
            raise RequestError(f"sink {self._root} cannot be opened: {error.java_exception.getMessage()}") from error
        except PySparkException as error:
            raise RequestError(f"sink {self._root} cannot be opened: {str(error).splitlines()[0]}") from error

    def _claim(self, checkpoint_id: str) -> None:
        if not self._files.exists(self._owner):
            if self._files.exists(f"{self._root}/{PREDICTIONS}"):
                raise RequestError(f"sink {self._root} holds predictions that no checkpoint owns: use another sink")
            mark = json.dumps({"checkpoint": checkpoint_id, "kind": self.kind}) + "\n"
            try:
                if self._files.create(self._owner, mark):
                    return
            except OSError as error:
                raise RequestError(f"sink {self._root} cannot be opened: {error.strerror}") from error
        found = json.loads(self._files.read(self._owner))
        if found["checkpoint"] != checkpoint_id:
            raise RequestError(
                f"sink {self._root} holds batches of another checkpoint ({found['checkpoint']}); this one is "
                f"{checkpoint_id}: use the checkpoint it was written with, or another sink"
            )
        if found["kind"] != self.kind:
            raise RequestError(f"sink {self._root} is {found['kind']}:DIR, not {self.kind}:DIR: use another sink")

    def write(self, rows: DataFrame, batch_id: int) -> Written | None:
        if not self._files.exists(self._owner):
            # A disk that is not mounted any more: what were written into the empty place would be hidden by the disk.
            raise SparkdlError(f"sink {self._root} is gone (it has no {_OWNER}): bring it back")
        if self._files.exists(self._ready(batch_id)):
            self._publish(batch_id)
        if not self.is_complete(batch_id):
            self._decided[batch_id] = self._stage(rows, batch_id)
            self._publish(batch_id)
        return self._decided.pop(batch_id, None)

    def _ready(self, batch_id: int) -> str:
        return f"{self._staging}/{_READY}{batch_id}"

    def _stage(self, rows: DataFrame, batch_id: int) -> Written:
        if self._attempt:
            self._files.delete(self._attempt)  # failed
        staged = self._attempt = f"{self._staging}/{_ATTEMPT}{batch_id}-{uuid4().hex}"
        rows.persist(StorageLevel.MEMORY_AND_DISK)  # evaluated once, by the first of the writes
        counts = Observation()
        try:
            counted = rows.observe(counts, F.count(F.lit(1)).alias("images"), F.count("reason").alias("failed"))
            _write_parquet(predictions(counted, batch_id), f"{staged}/{PREDICTIONS}")
            total, failed = counts.get["images"], counts.get["failed"]
            if failed:
                _write_parquet(dead_letters(rows, batch_id), f"{staged}/{DEAD_LETTERS}")
        finally:
            rows.unpersist()
        fault_point(FaultPoint.STAGED)
        self._still_ours()
        self._files.rename(staged, self._ready(batch_id))
        self._attempt = ""
        fault_point(FaultPoint.DECIDED)
        return Written(total - failed, failed)

    def _publish(self, batch_id: int) -> None:
        """Brings a decided batch to its places; can be cut off and called again at any point."""
        ready = self._ready(batch_id)
        if self.is_complete(batch_id):
            self._files.delete(ready)
            return
        for part, reached in ((DEAD_LETTERS, FaultPoint.HALF_PUBLISHED), (PREDICTIONS, FaultPoint.PUBLISHED)):
            if self._files.exists(f"{ready}/{part}"):
                self._place(f"{ready}/{part}", part, batch_id)
            fault_point(reached)
        self._clear(ready, batch_id)
        fault_point(FaultPoint.CLEARED)


def _write_parquet(rows: DataFrame, path: str) -> None:
    rows.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").parquet(path)
