"""One Spark query of a stream, from its start to its end."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from streaming.settings import StreamSettings

_SILENCE = 60.0  # seconds without an answer from the source after which the stream is not ready
_LONG = 60.0  # seconds of one micro-batch after which the stream is not ready
_STOP_AFTER = 10.0  # seconds that a query which does not write has to end its trigger


class QueryRun:
    """One Spark query, which ends by itself or is stopped between two micro-batches."""

    def __init__(self, rows: DataFrame, settings: StreamSettings, write: Callable[[DataFrame, int], None]) -> None:
        self._write = write
        self._stop_requested_at: float | None = None
        self._stopped = False
        self._writing_since: float | None = None
        self._quiet_since = time.monotonic()
        self._progress_at: float | None = None
        # Python keeps every callback of the JVM, and the JVM keeps the query that calls it. A strong reference from
        # the callback to the query would be a cycle, so the query and its broadcast networks would never be freed.
        alive = weakref.ref(self)

        def on_batch(rows: DataFrame, batch_id: int) -> None:
            if (run := alive()) is None:
                raise StoppedError
            run._on_batch(rows, batch_id)

        writer = rows.writeStream.foreachBatch(on_batch).option(
            "checkpointLocation", str(Path(settings.checkpoint).absolute())
        )
        assert isinstance(settings.trigger, float)  # real-time mode has queries of its own
        if settings.available_now:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{round(settings.trigger * 1000)} milliseconds")
        self._query: StreamingQuery = writer.start()

    @property
    def is_active(self) -> bool:
        return self._query.isActive

    @property
    def was_stopped(self) -> bool:
        """Whether the query was stopped, rather than ended after all input."""
        return self._stopped

    @property
    def error(self) -> Exception | None:
        """The error that ended the query; None if it was stopped or ended after all input."""
        return None if self._stopped else self._query.exception()

    def request_stop(self) -> None:
        """Stop the query if that does not interrupt a micro-batch; call this again until the query has ended.

        The query can be stopped between two triggers, but not while it starts: its source would log an error because
        the query no longer waits for it. It can also be stopped when it has written nothing for `_STOP_AFTER`: then it
        waits for its source, which may be gone for good.
        """
        if self._stop_requested_at is None:
            self._stop_requested_at = time.monotonic()
        quiet_since = max(self._stop_requested_at, self._quiet_since)
        quiet = self._writing_since is None and time.monotonic() - quiet_since > _STOP_AFTER
        if quiet or self._is_idle:
            self._stopped = True
            self._query.stop()

    def stop_now(self) -> None:
        """Stop the query at once, even during a micro-batch."""
        self._stopped = True
        self._query.stop()

    @property
    def _is_idle(self) -> bool:
        """Whether the query is between two triggers."""
        status = self._query.status
        return not status["isTriggerActive"] and not status["message"].startswith("Initializing")

    def poll(self) -> None:
        """Record whether the query makes progress, that is, it writes or waits for images."""
        if self._writing_since is not None or self._is_idle:
            self._progress_at = time.monotonic()

    @property
    def not_ready_reason(self) -> str:
        """Why the stream is not ready; empty if it makes progress."""
        if self._progress_at is None:
            return "its source has not been read yet"
        if (since := self._writing_since) is not None and (taken := time.monotonic() - since) > _LONG:
            return (
                f"its micro-batch has taken {taken:.0f} s so far: check for images that are slow or crash their decoder"
            )
        silence = time.monotonic() - self._progress_at
        return "" if silence < _SILENCE else f"its source has not answered for {silence:.0f} s"

    def _on_batch(self, rows: DataFrame, batch_id: int) -> None:
        if self._stop_requested_at is not None:
            # The previous batch is complete and committed. This one is only planned: Spark plans the same batch again
            # when the stream continues. Raising an error is the only way to stop the query from here.
            self._stopped = True
            raise StoppedError
        self._writing_since = time.monotonic()
        try:
            self._write(rows, batch_id)
        finally:
            self._writing_since, self._quiet_since = None, time.monotonic()


class StoppedError(Exception):
    """Ends a micro-batch before it starts because the query is stopping; never reported to the user."""
