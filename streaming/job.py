"""One running stream: start it, tell of each micro-batch, stop it between two of them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from sparkdl.errors import SparkdlError
from sparkdl.rejection import Limits
from streaming.checkpoint import check_checkpoint, claim_checkpoint
from streaming.classify import outcomes
from streaming.client_config import ClientConfig
from streaming.kafka import explain, is_kafka
from streaming.settings import StreamSettings
from streaming.sinks import check_sink, open_sink
from streaming.sources import check_source, open_source
from training.registry import ModelVersion, resolve_model

_POLL = 0.1  # seconds between two looks at the query
_LEAVE = 10.0  # seconds that a query which does not write is given to end its trigger


@dataclass(frozen=True)
class Batch:
    """One finished micro-batch."""

    batch_id: int
    predictions: int
    dead_letters: int
    seconds: float

    @property
    def images(self) -> int:
        return self.predictions + self.dead_letters


def check_request(settings: StreamSettings) -> ModelVersion:
    """The model of the stream, once all of the request that can be checked without Spark has been.

    Raises
    ------
    RequestError
        If the source, model, sink or checkpoint is missing or does not belong together.
    """
    ClientConfig.read(settings.kafka_config)
    check_source(settings)
    check_sink(settings)
    model = resolve_model(settings.model)
    check_checkpoint(settings)
    return model


class StreamJob:
    """A stream from its source through a model to its sink.

    Everything that can be wrong with the request is checked when the job is made: the source, the model, the sink
    and the checkpoint.

    Parameters
    ----------
    spark
        The session to run in.
    settings
        See `StreamSettings`.
    on_batch
        Called after each micro-batch that was written, on the stream's own thread.

    Raises
    ------
    RequestError
        As `check_request` does, and if the sink holds another stream's batches.
    """

    def __init__(
        self, spark: SparkSession, settings: StreamSettings, on_batch: Callable[[Batch], None] = lambda batch: None
    ) -> None:
        self.settings = settings
        self._on_batch = on_batch
        self._stopping = threading.Event()
        self._left = False
        self._writing, self._quiet_since = False, time.monotonic()
        self.model = check_request(settings)
        encoded = open_source(spark, settings)
        classifier = self.model.load()
        self._sink = open_sink(spark, settings)
        self._sink.open(claim_checkpoint(settings))
        self._rows = outcomes(
            encoded,
            classifier,
            self.model.name,
            settings.review_below,
            Limits(max_bytes=settings.max_bytes, max_pixels=settings.max_pixels),
        )
        self._query: StreamingQuery | None = None

    def start(self) -> None:
        """Starts the stream in the background."""
        writer = self._rows.writeStream.foreachBatch(self._write).option(
            "checkpointLocation", str(Path(self.settings.checkpoint).absolute())
        )
        if self.settings.available_now:
            writer = writer.trigger(availableNow=True)
        else:
            writer = writer.trigger(processingTime=f"{round(self.settings.trigger * 1000)} milliseconds")
        self._query = writer.start()

    @property
    def is_active(self) -> bool:
        """Whether the stream has been started and has not ended."""
        return self._query is not None and self._query.isActive

    def stop(self) -> None:
        """Asks the stream to end after the micro-batch that it is in; `wait` returns when it has."""
        if not self._stopping.is_set():
            self._quiet_since = time.monotonic()
        self._stopping.set()

    def wait(self) -> None:
        """Returns when the stream has ended: by `stop`, or because all there was is done.

        Raises
        ------
        SparkdlError
            If the stream failed; the message holds the root cause.
        """
        query = self._query
        assert query is not None  # started
        while query.isActive:
            if self._stopping.is_set() and self._may_leave():
                self._left = True
                query.stop()
            time.sleep(_POLL)
        failure = query.exception()
        if failure is not None and not self._left:
            raise SparkdlError(f"the stream failed: {self._reason(with_causes(failure))}") from failure

    def _reason(self, failure: str) -> str:
        cause = root_cause(failure)
        place = next(filter(is_kafka, (self.settings.source, self.settings.sink)), None)
        return (place and explain(failure, place)) or cause

    def _may_leave(self) -> bool:
        """Whether the query can be stopped without cutting off a micro-batch.

        Between two triggers it can. So it can when it has long written nothing: then it waits for its source, which may
        be away for good.
        """
        assert self._query is not None  # started
        quiet = not self._writing and time.monotonic() - self._quiet_since > _LEAVE
        return quiet or not self._query.status["isTriggerActive"]

    def _write(self, rows: DataFrame, batch_id: int) -> None:
        if self._stopping.is_set():
            # The batch before this one is complete and noted as such. This one was only planned: Spark will plan the
            # same one again when the stream goes on. An error is the one way to leave it from within.
            self._left = True
            raise _Stopped
        started = time.monotonic()
        self._writing = True
        try:
            written = self._sink.write(rows, batch_id)
        finally:
            self._writing, self._quiet_since = False, time.monotonic()
        if written is None:
            return
        self._on_batch(Batch(batch_id, written.predictions, written.dead_letters, time.monotonic() - started))


class _Stopped(Exception):  # noqa: N818 - ends a micro-batch that was not begun; nobody sees it
    """The stream was asked to stop before this micro-batch began."""


def with_causes(failure: Exception) -> str:
    """What Spark says of a failed query, with the causes in Java that pyspark has but does not print."""
    causes = getattr(getattr(failure, "_cause", None), "_stackTrace", None)
    return f"{failure}\nCaused by: {causes}" if causes else str(failure)


def root_cause(message: str) -> str:
    """The line of a Spark error that says what happened: the innermost Python exception, else the last Java cause."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    # What py4j says is where an error crossed between Java and Python, not what it was; ": " begins what it was.
    python = [line for line in lines if re.match(r"(?!py4j\.)[\w.]*Error: ", line)]
    java = [cause[1] for line in lines if (cause := re.match(r"(?:Caused by)?: ((?!py4j\.).+)", line))]
    return (python or java or lines[:1])[-1][:500]
