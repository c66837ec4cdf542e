"""One Spark query in real-time mode, from its start to its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from streaming.monitoring.observer import Batch

_BATCH = "60 seconds"
"""How long a batch of Spark takes; between two of them nothing is read for some 0.2 s."""
_LOOK = 1.0  # seconds between two looks at Spark's progress
_COUNTS = "counts"


class RealtimeRun:
    """One Spark query whose tasks read and answer without a pause for the length of a batch.

    Parameters
    ----------
    rows
        The messages to write.
    results
        The results that they are made of.
    """

    def __init__(
        self,
        rows: DataFrame,
        to_messages: Callable[[DataFrame], DataFrame],
        options: dict[str, str],
        checkpoint: Path,
        record: Callable[[Batch], None],
    ) -> None:
        self._record = record
        self._stopped = False
        self._look_at = 0.0
        self._told = -1
        self._is_reading = False
        counted = rows.observe(_COUNTS, F.count(F.lit(1)).alias("images"), F.count("reason").alias("failed"))
        self._query: StreamingQuery = (
            to_messages(counted)
            .writeStream.format("kafka")
            .options(**options)
            .option("checkpointLocation", str(checkpoint.absolute()))
            .outputMode("update")
            .trigger(realTime=_BATCH)  # type: ignore[call-overload] # of which its stub knows nothing
            .start()
        )

    @property
    def is_active(self) -> bool:
        return self._query.isActive

    @property
    def was_stopped(self) -> bool:
        """Whether the query was stopped; it never ends by itself."""
        return self._stopped

    @property
    def error(self) -> Exception | None:
        """The error that ended the query; None if it was stopped."""
        return None if self._stopped else self._query.exception()

    def request_stop(self) -> None:
        """Stop the query, which may be in the middle of a batch: its images are answered again after a start."""
        self.stop_now()

    def stop_now(self) -> None:
        """Stop the query at once."""
        self._stopped = True
        self._query.stop()

    def poll(self) -> None:
        """Report the batches that have ended."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK
        self._is_reading = self._is_reading or self._query.status["isTriggerActive"]
        for progress in self._query.recentProgress:
            if progress.batchId <= self._told:
                continue
            self._told = progress.batchId
            counts = progress.observedMetrics.get(_COUNTS)
            if counts is not None and counts["images"]:
                failed = counts["failed"]
                self._record(Batch(self._told, counts["images"] - failed, failed, progress.batchDuration / 1000))

    @property
    def not_ready_reason(self) -> str:
        """Why the stream is not ready; empty if it reads."""
        return "" if self._is_reading else "its source has not been read yet"
