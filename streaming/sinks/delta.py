"""The Delta sink: two tables that each micro-batch is appended to once."""

from __future__ import annotations

from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from streaming.schemas import DEAD_LETTER, PREDICTION
from streaming.sinks.address import SinkKind
from streaming.sinks.delta_session import check_session
from streaming.sinks.staging import DEAD_LETTERS, PREDICTIONS, StagedSink

_DONE = "done="
_SCHEMAS: dict[str, StructType] = {DEAD_LETTERS: DEAD_LETTER, PREDICTIONS: PREDICTION}


class DeltaSink(StagedSink):
    """The Delta tables `DIR/predictions` and `DIR/dead_letters`, exactly once for every reader of Delta.

    Both are there from the beginning. Each part of a decided batch is appended by one commit, as one file, under the
    checkpoint's id and the batch's (`txnAppId`, `txnVersion`): Delta passes over an append that was done before, so a
    batch that was cut off between its two appends can be completed by doing both. Then what was staged is renamed to
    `DIR/_staging/done=N` and emptied, which tells that Spark repeats a batch that is complete.

    Raises
    ------
    RequestError
        If the session has no Delta Lake.
    """

    kind = SinkKind.DELTA

    def __init__(self, spark: SparkSession, root: str) -> None:
        check_session(spark)
        super().__init__(spark, root)

    def _prepare(self) -> None:
        for part, schema in _SCHEMAS.items():
            empty = self._spark.createDataFrame([], schema)
            empty.write.format("delta").mode("ignore").save(f"{self._root}/{part}")

    def is_complete(self, batch_id: int) -> bool:
        return self._files.exists(f"{self._staging}/{_DONE}{batch_id}")

    def _place(self, staged: str, part: str, batch_id: int) -> None:
        (
            self._spark.read.schema(_SCHEMAS[part])
            .parquet(staged)
            .coalesce(1)
            .write.format("delta")
            .mode("append")
            .option("txnAppId", self._checkpoint)
            .option("txnVersion", batch_id)
            .save(f"{self._root}/{part}")
        )

    def _clear(self, ready: str, batch_id: int) -> None:
        done = f"{_DONE}{batch_id}"
        self._files.rename(ready, f"{self._staging}/{done}")
        for part in _SCHEMAS:
            self._files.delete(f"{self._staging}/{done}/{part}")
        for name in self._files.names(self._staging):
            if name.startswith(_DONE) and name != done:
                self._files.delete(f"{self._staging}/{name}")
