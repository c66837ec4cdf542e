"""One Spark query of a stream, from its start until it has ended or was left."""

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
_LEAVE = 10.0  # seconds that a query which does not write is given to end its trigger


class QueryRun:
    """One Spark query, from its start until it has ended or was left between two micro-batches."""

    def __init__(self, rows: DataFrame, settings: StreamSettings, write: Callable[[DataFrame, int], None]) -> None:
        self._write = write
        self._leaving_since: float | None = None
        self._left = False
        self._writing_since: float | None = None
        self._quiet_since = time.monotonic()
        self._well_at: float | None = None
        # Python keeps what the JVM may call, and the JVM the query that calls it: were the query to be reached from
        # there, neither would ever let go of the other, nor of the networks that the query has broadcast.
        alive = weakref.ref(self)

        def on_batch(rows: DataFrame, batch_id: int) -> None:
            if (run := alive()) is None:
                raise Left
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
    def was_left(self) -> bool:
        """Whether it ended because it was left, and not because all there was is done."""
        return self._left

    @property
    def error(self) -> Exception | None:
        """What ended the query, None if it ended as it was asked to."""
        return None if self._left else self._query.exception()

    def leave(self) -> None:
        """Ends the query if it can be done without cutting off a micro-batch; to be called again until it has ended.

        Between two triggers it can, but not while it begins: a source that is just being started would say that nobody
        waits for it any more. So it can when it has long written nothing: then it waits for its source, which may be
        away for good.
        """
        if self._leaving_since is None:
            self._leaving_since = time.monotonic()
        quiet_since = max(self._leaving_since, self._quiet_since)
        quiet = self._writing_since is None and time.monotonic() - quiet_since > _LEAVE
        if quiet or self._waits:
            self._left = True
            self._query.stop()

    def cut_off(self) -> None:
        """Ends the query at once, in the middle of a micro-batch too."""
        self._left = True
        self._query.stop()

    @property
    def _waits(self) -> bool:
        """Whether the query stands between two triggers."""
        status = self._query.status
        return not status["isTriggerActive"] and not status["message"].startswith("Initializing")

    def look(self) -> None:
        """Notes whether the query comes along: it writes, or waits for images."""
        if self._writing_since is not None or self._waits:
            self._well_at = time.monotonic()

    @property
    def hindrance(self) -> str:
        """Why the query does not come along; empty if it does."""
        if self._well_at is None:
            return "its source has not been read yet"
        if (since := self._writing_since) is not None and (taken := time.monotonic() - since) > _LONG:
            return f"its micro-batch has taken {taken:.0f} s so far: see whether images are slow or crash their decoder"
        silence = time.monotonic() - self._well_at
        return "" if silence < _SILENCE else f"its source has given no answer for {silence:.0f} s"

    def _on_batch(self, rows: DataFrame, batch_id: int) -> None:
        if self._leaving_since is not None:
            # The batch before this one is complete and noted as such. This one was only planned: Spark will plan the
            # same one again when the stream goes on. An error is the one way to leave it from within.
            self._left = True
            raise Left
        self._writing_since = time.monotonic()
        try:
            self._write(rows, batch_id)
        finally:
            self._writing_since, self._quiet_since = None, time.monotonic()


class Left(Exception):  # noqa: N818 - ends a micro-batch that was not begun; nobody sees it
    """The query was to be left before this micro-batch began."""
