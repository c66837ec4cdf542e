"""One Spark query of a stream, from its start to its end."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from streaming.settings import StreamSettings

_SILENCE = 60.0  # seconds after which a source that does not answer makes the stream unready
_LONG = 60.0  # seconds after which a micro-batch that has not ended makes the stream unready
_STOP_AFTER = 10.0  # seconds that a query which does not write is given to end its trigger


class QueryRun:
    """One Spark query, from its start until it has ended, by itself or stopped between two micro-batches."""

    def __init__(self, rows: DataFrame, settings: StreamSettings, write: Callable[[DataFrame, int], None]) -> None:
        self._write = write
        self._stop_requested_at: float | None = None
        self._stopped = False
        self._writing_since: float | None = None
        self._quiet_since = time.monotonic()
        self._progress_at: float | None = None
        # Python keeps what the JVM may call, and the JVM the query that calls it: were the query to be reached from
        # there, neither would ever let go of the other, nor of the networks that the query has broadcast.
        alive = weakref.ref(self)

        def on_batch(rows: DataFrame, batch_id: int) -> None:
            if (run := alive()) is None:
                raise StoppedError
            run._on_batch(rows, batch_id)

        writer = rows.writeStream.foreachBatch(on_batch).option(
            "checkpointLocation", str(Path(settings.checkpoint).absolute())
        )
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
        """Whether it was stopped, and did not end because all there was is done."""
        return self._stopped

    @property
    def error(self) -> Exception | None:
        """What ended the query, None if it ended as it was asked to."""
        return None if self._stopped else self._query.exception()

    def request_stop(self) -> None:
        """Stop the query if that does not interrupt a micro-batch; to be called again until it has ended.

        It can be stopped between two triggers, but not while it starts: a source that is just being started would
        complain that nobody waits for it. It can also be stopped when it has written nothing for long: then it waits
        for its source, which may be gone for good.
        """
        if self._stop_requested_at is None:
            self._stop_requested_at = time.monotonic()
        quiet_since = max(self._stop_requested_at, self._quiet_since)
        quiet = self._writing_since is None and time.monotonic() - quiet_since > _STOP_AFTER
        if quiet or self._is_idle:
            self._stopped = True
            self._query.stop()

    def stop_now(self) -> None:
        """Stop the query at once, in the middle of a micro-batch too."""
        self._stopped = True
        self._query.stop()

    @property
    def _is_idle(self) -> bool:
        """Whether the query is between two triggers."""
        status = self._query.status
        return not status["isTriggerActive"] and not status["message"].startswith("Initializing")

    def poll(self) -> None:
        """Record whether the query makes progress: it writes, or waits for images."""
        if self._writing_since is not None or self._is_idle:
            self._progress_at = time.monotonic()

    @property
    def not_ready_reason(self) -> str:
        """Why the query makes no progress; empty if it does."""
        if self._progress_at is None:
            return "its source has not been read yet"
        if (since := self._writing_since) is not None and (taken := time.monotonic() - since) > _LONG:
            return f"its micro-batch has taken {taken:.0f} s so far: see whether images are slow or crash their decoder"
        silence = time.monotonic() - self._progress_at
        return "" if silence < _SILENCE else f"its source has given no answer for {silence:.0f} s"

    def _on_batch(self, rows: DataFrame, batch_id: int) -> None:
        if self._stop_requested_at is not None:
            # The batch before this one is complete and committed. This one was only planned: Spark will plan the same
            # one again when the stream goes on. An error is the only way to stop from within.
            self._stopped = True
            raise StoppedError
        self._writing_since = time.monotonic()
        try:
            self._write(rows, batch_id)
        finally:
            self._writing_since, self._quiet_since = None, time.monotonic()


class StoppedError(Exception):
    """Ends a micro-batch that was not begun, because the query is to stop; nobody sees it."""
