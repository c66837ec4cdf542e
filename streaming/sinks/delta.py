"""The Delta sink: two tables, to which each micro-batch is appended once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sparkdl.errors import RequestError
from sparkdl.spark.private import has_class
from streaming.sink_layout import DEAD_LETTERS, PREDICTIONS, directory_of
from streaming.sinks.base import always
from streaming.sinks.staging import StagedSink
from streaming.spark_conf import DELTA

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

    from streaming.readers.base import Reader

_DONE = "done="


class DeltaSink(StagedSink):
    """The Delta tables `DIR/predictions` and `DIR/dead_letters`, exactly once for every reader of Delta.

    Both exist from the start. Each part of a committed batch is appended by one commit, as one file, with the ids of
    the checkpoint and the batch (`txnAppId`, `txnVersion`). Delta skips an append that it already has, so repeating
    both appends completes a batch that was interrupted between them. Then the staged directory is renamed to
    `DIR/_staging/done=N` and emptied, so that a complete batch is recognized when Spark repeats it.
    """

    scheme = "delta"
    connector = DELTA

    @classmethod
    def from_address(cls, address: str) -> DeltaSink:
        """Return the sink in the directory of `delta:DIR`."""
        return cls(directory_of(address, cls.scheme))

    def reader(self) -> Reader:
        from streaming.readers.delta import DeltaReader

        return DeltaReader(self.directory)

    def open(self, spark: SparkSession, checkpoint_id: str, still_ours: Callable[[], None] = always) -> None:
        """Prepare the sink; the session must have been started with Delta Lake."""
        check_session(spark)
        super().open(spark, checkpoint_id, still_ours)

    def _prepare(self) -> None:
        for part, schema in _schemas().items():
            empty = self._spark.createDataFrame([], schema)
            empty.write.format("delta").mode("ignore").save(f"{self._root}/{part}")

    def is_complete(self, batch_id: int) -> bool:
        return self._files.exists(f"{self._staging}/{_DONE}{batch_id}")

    def _publish_part(self, staged: str, part: str, batch_id: int) -> None:
        (
            self._spark.read.schema(_schemas()[part])
            .parquet(staged)
            .coalesce(1)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", self._checkpoint)
            .option("txnVersion", batch_id)
            .option("mergeSchema", "true")  # a table of an earlier version gets the columns that it lacks
            .save(f"{self._root}/{part}")
        )

    def _clear(self, committed: str, batch_id: int) -> None:
        done = f"{_DONE}{batch_id}"
        self._files.rename(committed, f"{self._staging}/{done}")
        for part in (DEAD_LETTERS, PREDICTIONS):
            self._files.delete(f"{self._staging}/{done}/{part}")
        for name in self._files.names(self._staging):
            if name.startswith(_DONE) and name != done:
                self._files.delete(f"{self._staging}/{name}")


def _schemas() -> dict[str, StructType]:
    from streaming.schemas import DEAD_LETTER, PREDICTION

    return {DEAD_LETTERS: DEAD_LETTER, PREDICTIONS: PREDICTION}


def check_session(spark: SparkSession) -> None:
    """Check that a session can write Delta tables.

    Raises
    ------
    RequestError
        If it cannot; the message names the missing start option.
    """
    if not has_class(spark.sparkContext, DELTA.conf["spark.sql.extensions"]):
        raise RequestError(
            f"Spark was started without the jars of Delta Lake: start it with --packages {DELTA.package}"
        )
    for key in ("spark.sql.extensions", "spark.sql.catalog.spark_catalog"):
        if DELTA.conf[key] not in (spark.conf.get(key, "") or ""):
            raise RequestError(f"Spark was started without Delta Lake: start it with --conf {key}={DELTA.conf[key]}")
