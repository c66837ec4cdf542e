"""A query that passes its micro-batches to a `BatchSink`."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable

from pyspark.sql import DataFrame

from streaming.settings import StreamSettings
from streaming.supervision.query import QueryRun


class BatchQuery(QueryRun):
    """A query with `foreachBatch`.

    Parameters
    ----------
    rows
        The results, a streaming DataFrame.
    settings
        The settings of the stream.
    write
        Writes the results of one micro-batch, given the results and the number of the micro-batch.
    """

    def __init__(self, rows: DataFrame, settings: StreamSettings, write: Callable[[DataFrame, int], None]) -> None:
        self._write = write
        # Python keeps every callback of the JVM, and the JVM keeps the query that calls it. A strong reference from
        # the callback to the query would be a cycle, so the query and its broadcast networks would never be freed.
        alive = weakref.ref(self)

        def on_batch(rows: DataFrame, batch_id: int) -> None:
            if (run := alive()) is None:
                raise StoppedError
            run._on_batch(rows, batch_id)

        super().__init__(rows.writeStream.foreachBatch(on_batch), settings)

    def poll(self) -> None:
        if self._writing_since is not None or self._is_idle:
            self._progress_at = time.monotonic()

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
