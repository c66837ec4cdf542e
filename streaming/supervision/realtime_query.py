"""A query in Spark's real-time mode."""

from __future__ import annotations

import time

from pyspark.sql.streaming.readwriter import DataStreamWriter

from streaming.settings import StreamSettings
from streaming.supervision.direct_query import DirectQuery

_BATCH = "60 seconds"
"""How long Spark's batches take. Nothing is read for some 0.2 s between two of them, so they are long; what one of them
has read is read again if it does not end."""

_LOOK = 1.0  # seconds between two looks at Spark's status


class RealtimeQuery(DirectQuery):
    """A query whose tasks read, answer and write without a pause, and record after a minute how far they have come."""

    _look_at = 0.0

    def _with_trigger(self, writer: DataStreamWriter, settings: StreamSettings) -> DataStreamWriter:
        # The stub of `trigger` does not know this one.
        return writer.outputMode("update").trigger(realTime=_BATCH)  # type: ignore[call-overload, no-any-return]

    def poll(self) -> None:
        if time.monotonic() >= self._look_at or not self.is_active:
            self._look_at = time.monotonic() + _LOOK
            super().poll()

    def request_stop(self) -> None:
        """Stop the query at once, in the middle of a batch: there is no other moment."""
        self.stop_now()

    @property
    def not_ready_reason(self) -> str:
        return "its source has not been read yet" if self._progress_at is None else ""
