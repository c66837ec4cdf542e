"""The base of exactly-once directory sinks: a micro-batch is staged, committed by one rename, then published."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from sparkdl.errors import RequestError, SparkdlError
from streaming.batch_stats import BatchStats
from streaming.fault_injection import FaultPoint, fault_point
from streaming.sink_layout import DEAD_LETTERS, PREDICTIONS, absolute
from streaming.sinks.base import BatchSink, always

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_OWNER = "_checkpoint.json"
_STAGING = "_staging"
_READY, _ATTEMPT = "ready=", "batch="


class StagedSink(BatchSink):
    """A directory sink whose micro-batches are published only from staged files.

    A batch is written as Parquet to `DIR/_staging/batch=N-ATTEMPT` and committed by one rename to
    `DIR/_staging/ready=N`. Only then are its two parts published, dead letters first. A batch that was interrupted
    before its commit is written again. A batch that was interrupted later is completed from the staged files, at the
    next start or when Spark repeats it. It is never computed again, so both parts always come from the same
    computation. The sink needs a file system with an atomic rename of directories (a local disk, HDFS).

    Each attempt has its own staging directory. `open` removes those of other attempts before it looks for committed
    batches. After that no other attempt can commit, because the directory that it would rename is gone. Files that the
    JVM of a killed driver still writes stay there, unused, until the next `open`.

    `DIR/_checkpoint.json` names the checkpoint whose batch ids are used.

    Parameters
    ----------
    directory
        A path, or a URI of another file system.
    """

    scheme: ClassVar[str]
    """The scheme of the sink's address, and the kind of sink in `_checkpoint.json`."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._root = absolute(directory)
        self._staging = f"{self._root}/{_STAGING}"
        self._owner = f"{self._root}/{_OWNER}"
        self._still_ours: Callable[[], None] = always
        self._attempt = ""
        """The last staging directory, unless it was committed; empty if there is none."""
        self._committed: dict[int, BatchStats] = {}
        """The counts of committed batches whose publishing failed, so that `write` has not returned them."""

    def identity(self) -> str:
        return f"{self.scheme}:{self._root}"

    def __str__(self) -> str:
        return f"{self.scheme}:{self.directory}"

    # --- defined by each kind of sink --------------------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Prepare the sink for its first batch; can be interrupted and repeated at any point."""

    @abstractmethod
    def is_complete(self, batch_id: int) -> bool:
        """Whether both parts of a batch are published."""

    @abstractmethod
    def _publish_part(self, staged: str, part: str, batch_id: int) -> None:
        """Publish the Parquet files in the directory `staged` as `part`, unless they are published."""

    @abstractmethod
    def _clear(self, committed: str, batch_id: int) -> None:
        """Remove the staged files of a published batch."""

    # --- common to all kinds -----------------------------------------------------------------------------------------

    def open(self, spark: SparkSession, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        from sparkdl.spark.hadoop_fs import Files

        # Spark's default is a legacy type without a time zone, which most readers cannot read after the year 2262. The
        # stream runs in a copy of this session.
        spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        self._spark = spark
        self._files = Files(spark)
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
            mark = json.dumps({"checkpoint": checkpoint_id, "kind": self.scheme}) + "\n"
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
        if found["kind"] != self.scheme:
            raise RequestError(f"sink {self._root} is {found['kind']}:DIR, not {self.scheme}:DIR: use another sink")

    def write(self, results: DataFrame, batch_id: int) -> BatchStats | None:
        if not self._files.exists(self._owner):
            # A disk that is no longer mounted: files in the empty mount point would be hidden when it is mounted again.
            raise SparkdlError(f"sink {self._root} is gone (it has no {_OWNER}): restore it or mount its disk")
        if self._files.exists(self._ready(batch_id)):
            self._publish(batch_id)
        if not self.is_complete(batch_id):
            self._committed[batch_id] = self._stage(results, batch_id)
            self._publish(batch_id)
        return self._committed.pop(batch_id, None)

    def _ready(self, batch_id: int) -> str:
        return f"{self._staging}/{_READY}{batch_id}"

    def _stage(self, results: DataFrame, batch_id: int) -> BatchStats:
        from pyspark import StorageLevel
        from pyspark.sql import Observation

        from streaming.observed import observed_columns, stats_of
        from streaming.results import dead_letters, predictions

        if self._attempt:
            self._files.delete(self._attempt)  # a failed attempt
        staged = self._attempt = f"{self._staging}/{_ATTEMPT}{batch_id}-{uuid4().hex}"
        results.persist(StorageLevel.MEMORY_AND_DISK)  # evaluated once, by the first of the writes
        counts = Observation()
        try:
            counted = results.observe(counts, *observed_columns())
            _write_parquet(predictions(counted, batch_id), f"{staged}/{PREDICTIONS}")
            stats = stats_of(counts.get)
            if stats.dead_letters:
                _write_parquet(dead_letters(results, batch_id), f"{staged}/{DEAD_LETTERS}")
        finally:
            results.unpersist()
        fault_point(FaultPoint.STAGED)
        self._still_ours()
        self._files.rename(staged, self._ready(batch_id))
        self._attempt = ""
        fault_point(FaultPoint.COMMITTED)
        return stats

    def _publish(self, batch_id: int) -> None:
        """Publish a committed batch; can be interrupted and repeated at any point."""
        ready = self._ready(batch_id)
        if self.is_complete(batch_id):
            self._files.delete(ready)
            return
        for part, reached in ((DEAD_LETTERS, FaultPoint.HALF_PUBLISHED), (PREDICTIONS, FaultPoint.PUBLISHED)):
            if self._files.exists(f"{ready}/{part}"):
                self._publish_part(f"{ready}/{part}", part, batch_id)
            fault_point(reached)
        self._clear(ready, batch_id)
        fault_point(FaultPoint.CLEARED)


def _write_parquet(rows: DataFrame, path: str) -> None:
    rows.write.option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").parquet(path)
