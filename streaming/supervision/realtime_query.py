"""A query in Spark's real-time mode."""

from __future__ import annotations

import time

from pyspark.sql.streaming.readwriter import DataStreamWriter

from streaming.settings import StreamSettings
from streaming.supervision.direct_query import DirectQuery

_BATCH = "60 seconds"
"""Duration of Spark's batches. Nothing is read for about 0.2 s between two batches, so they are long. If a batch does
not end, its messages are read again."""

_LOOK = 1.0  # seconds between two polls of Spark's status


class RealtimeQuery(DirectQuery):
    """A query whose tasks read, classify and write continuously, and record their offsets once a minute."""

    _look_at = 0.0

    def _with_trigger(self, writer: DataStreamWriter, settings: StreamSettings) -> DataStreamWriter:
        # The type stub of `trigger` lacks this argument.
        return writer.outputMode("update").trigger(realTime=_BATCH)  # type: ignore[call-overload, no-any-return]

    def poll(self) -> None:
        if time.monotonic() >= self._look_at or not self.is_active:
            self._look_at = time.monotonic() + _LOOK
            super().poll()

    def request_stop(self) -> None:
        """Stop the query at once, during a batch: there is no pause between batches."""
        self.stop_now()

    @property
    def not_ready_reason(self) -> str:
        return "its source has not been read yet" if self._progress_at is None else ""
