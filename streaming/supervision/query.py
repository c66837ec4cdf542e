"""One Spark query of a stream, from its start to its end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path

from pyspark.sql.streaming.query import StreamingQuery
from pyspark.sql.streaming.readwriter import DataStreamWriter

from streaming.settings import StreamSettings

_SILENCE = 60.0  # seconds without an answer from the source until the stream counts as not ready
_LONG = 60.0  # seconds of one micro-batch until the stream counts as not ready
_STOP_AFTER = 10.0  # seconds until a query that writes nothing is stopped during its trigger


class QueryRun(ABC):
    """One Spark query, which ends by itself or is stopped between two micro-batches.

    Parameters
    ----------
    writer
        The writer of the results. This class sets its trigger and checkpoint, and starts it.
    settings
        The settings of the stream.
    """

    def __init__(self, writer: DataStreamWriter, settings: StreamSettings) -> None:
        self._stop_requested_at: float | None = None
        self._stopped = False
        self._failure: Exception | None = None
        self._writing_since: float | None = None
        self._quiet_since = time.monotonic()
        self._progress_at: float | None = None
        writer = writer.option("checkpointLocation", str(Path(settings.checkpoint).absolute()))
        self._query: StreamingQuery = self._with_trigger(writer, settings).start()

    def _with_trigger(self, writer: DataStreamWriter, settings: StreamSettings) -> DataStreamWriter:
        if settings.available_now:
            return writer.trigger(availableNow=True)
        assert isinstance(settings.trigger, float)
        return writer.trigger(processingTime=f"{round(settings.trigger * 1000)} milliseconds")

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
        if self._failure is not None:
            return self._failure
        return None if self._stopped else self._query.exception()

    def request_stop(self) -> None:
        """Stop the query if that does not interrupt a micro-batch; call this again until the query has ended.

        The query can be stopped between two triggers, but not while it starts: its source would log an error because
        the query no longer waits for it. It can also be stopped when it has written nothing for `_STOP_AFTER`: then it
        waits for its source, which may be gone for good.
        """
        if self._stop_requested_at is None:
            self._stop_requested_at = time.monotonic()
        if self._can_stop(self._stop_requested_at):
            self.stop_now()

    def _can_stop(self, since: float) -> bool:
        """Whether the query can be stopped; the stop was requested at the time `since`."""
        quiet_since = max(since, self._quiet_since)
        quiet = self._writing_since is None and time.monotonic() - quiet_since > _STOP_AFTER
        return quiet or self._is_idle

    def stop_now(self) -> None:
        """Stop the query at once, even during a micro-batch."""
        self._stopped = True
        self._query.stop()

    def fail(self, error: Exception) -> None:
        """Stop the query at once, because of an error that is not Spark's."""
        self._failure = error
        self.stop_now()

    @property
    def _is_idle(self) -> bool:
        """Whether the query is between two triggers."""
        status = self._query.status
        return not status["isTriggerActive"] and not status["message"].startswith("Initializing")

    @abstractmethod
    def poll(self) -> None:
        """Record whether the query makes progress, that is, it writes or waits for images.

        Call it about ten times a second, and once more after the query has ended.
        """

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
