"""A query that Spark itself writes to a `DirectSink`; its results are known from Spark's progress reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pyspark.sql import DataFrame

from sparkdl.spark.private import last_batch, progress_after
from streaming.observed import NAME, observed_columns
from streaming.settings import StreamSettings
from streaming.sinks.base import DirectSink
from streaming.supervision.query import QueryRun

_PROCESSING = "Processing new data"
"""Spark's status while it computes and writes a micro-batch."""
_STOP_POLL, _STOP_SECONDS = 0.002, 0.1  # seconds between two polls for the end of a micro-batch, and in one call


class DirectQuery(QueryRun):
    """A query without `foreachBatch`.

    Spark starts the next micro-batch without a callback. Therefore the query is stopped as soon as a micro-batch is
    reported: at that moment Spark plans the next one, and will plan it again when the stream continues.

    Parameters
    ----------
    rows
        The results, a streaming DataFrame.
    sink
        The sink of the results.
    settings
        The settings of the stream.
    record
        Receives each progress report of Spark, once its micro-batch is in the sink.
    """

    def __init__(
        self, rows: DataFrame, sink: DirectSink, settings: StreamSettings, record: Callable[[dict[str, Any]], None]
    ) -> None:
        self._record = record
        self._recorded = self._last_at_stop = -1
        super().__init__(sink.writer(rows.observe(NAME, *observed_columns())), settings)

    def poll(self) -> None:
        now = time.monotonic()
        for report in progress_after(self._query, self._recorded):
            self._recorded, self._progress_at = report["batchId"], now
            self._record(report)
        status = self._query.status
        if status["isTriggerActive"] and status["message"] == _PROCESSING:
            self._progress_at = now
            self._writing_since = self._writing_since or now
            self._quiet_since = now
            return
        self._writing_since = None
        if self._is_idle:
            self._progress_at = now

    def request_stop(self) -> None:
        if self._stop_requested_at is None:
            self._last_at_stop = last_batch(self._query)
        until = time.monotonic() + _STOP_SECONDS
        while self.is_active:
            super().request_stop()
            if self._stopped or time.monotonic() > until:
                return
            time.sleep(_STOP_POLL)

    def _can_stop(self, since: float) -> bool:
        return last_batch(self._query) != self._last_at_stop or super()._can_stop(since)
