"""One stream: starts it, watches over it, starts it again after a failure or with another model, stops it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import Limits
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import MIN_REVIEW_THRESHOLD, ModelVersion, resolve_model
from sparkdl.spark.callbacks import require_token
from sparkdl.spark.session import SAFE_PATH
from streaming.batch_sizing import Pace
from streaming.checkpoint.identity import check_checkpoint, claim_checkpoint, is_claimed
from streaming.checkpoint.lock import CheckpointLock, LostCheckpointError
from streaming.checkpoint.repair import mend_checkpoint
from streaming.failures import Failure
from streaming.fault_injection import check_fault_point
from streaming.kafka.address import is_kafka
from streaming.kafka.client_config import ClientConfig
from streaming.model_updates import Promotions, RefusedModelError, load_successor
from streaming.monitoring.health import Health
from streaming.monitoring.observer import Batch, Observer
from streaming.query import QueryRun
from streaming.results import outcomes
from streaming.settings import AfterRead, StreamSettings
from streaming.sinks import check_sink, open_sink
from streaming.sources.factory import check_source, close_source, open_source

STARTING = "it is starting"
"""Why a stream is not ready that has not been started yet; it is alive."""

_POLL = 0.1  # seconds between two looks at the query
_LOOK = 1.0  # seconds between two looks at the registry
_HEARTBEAT = 120.0  # seconds in which the stream must have been looked after; another model may take some to load
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds before a stream that failed is started again; doubled each time


def check_request(settings: StreamSettings) -> ModelVersion:
    """The model of the stream, once all of the request that can be checked without Spark has been.

    Raises
    ------
    RequestError
        If the source, model, sink or checkpoint is missing or does not belong together.
    """
    check_fault_point()
    ClientConfig.read(settings.kafka_config)
    check_source(settings)
    check_sink(settings)
    model = resolve_model(settings.model)
    check_checkpoint(settings)
    return model


class StreamJob:
    """A stream from its source through a model to its sink.

    Everything that can be wrong with the request is checked when the job is made: the source, the model, the sink
    and the checkpoint. The stream runs as one Spark query after another on one checkpoint: the next begins where the
    last one ended, after a failure that may pass or with another promoted model.

    Parameters
    ----------
    spark
        The session to run in.
    settings
        See `StreamSettings`.
    observers
        Are told of what happens.
    lock
        Of the checkpoint, if that has been acquired already. The job releases it when it ends or cannot be made.

    Raises
    ------
    RequestError
        As `check_request` does, if another stream has the checkpoint, and if the sink holds another one's batches.
    """

    def __init__(
        self, spark: SparkSession, settings: StreamSettings, *observers: Observer, lock: CheckpointLock | None = None
    ) -> None:
        self.settings = settings
        self._spark = spark
        self._observers = observers
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._raised: SparkdlError | None = None
        self.model = check_request(settings)
        spark.sparkContext.environment.setdefault(*SAFE_PATH)  # the session may not be one of `spark_session`
        require_token(spark.sparkContext._gateway)
        self._lock = lock or CheckpointLock.acquire(settings.checkpoint)
        try:
            self._prepare()
        except BaseException:
            self._lock.release()
            raise
        self._run: QueryRun | None = None
        self._failures = 0
        self._looked = self._beat = time.monotonic()
        self._waiting_for = ""

    def _prepare(self) -> None:
        """Opens what belongs to the stream alone."""
        settings = self.settings
        self._pace = Pace(settings.max_images_per_trigger)
        self._classifier = self.model.load()
        self._promotions = Promotions(settings.model, self.model)
        self._sink = open_sink(self._spark, settings)
        self._lock.check()
        self._checkpoint_id = claim_checkpoint(settings)
        self._sink.open(self._checkpoint_id, self._check_checkpoint)
        self._mended = mend_checkpoint(
            settings.checkpoint, self._sink.is_complete, plans_again=not is_kafka(settings.source)
        )

    def start(self) -> None:
        """Starts the stream in the background."""
        try:
            self._run = self._begin()
        except BaseException:
            self._lock.release()
            raise
        for path in self._mended:
            self._tell(lambda observer, path=path: observer.mended(path))  # type: ignore[misc]
        self._tell(lambda observer: observer.started(self.settings, self.model.name))
        threading.Thread(target=self._supervise, name="stream", daemon=True).start()

    @property
    def is_active(self) -> bool:
        """Whether the stream has been started and has not ended."""
        return self._run is not None and not self._ended.is_set()

    def stop(self) -> None:
        """Asks the stream to end after the micro-batch that it is in; `wait` returns when it has."""
        self._stopping.set()

    def wait(self) -> None:
        """Returns when the stream has ended: by `stop`, or because all there was is done.

        Raises
        ------
        SparkdlError
            If the stream failed for good; the message holds the root cause, `__cause__` what Spark raised.
        """
        self._ended.wait()
        if self._raised is not None:
            raise self._raised

    def health(self) -> Health:
        """How the stream is at this moment."""
        started = self._run is not None
        live = not self._ended.is_set() and (not started or time.monotonic() - self._beat < _HEARTBEAT)
        if not live:
            why = "it has ended" if self._ended.is_set() else "it is not looked after any more"
        elif self._run is None:
            why = STARTING
        else:
            why = self._waiting_for or self._run.hindrance
        return Health(live, not why, why, self.model.name)

    def _begin(self) -> QueryRun:
        self._check_checkpoint()
        if self._pace.is_off:
            self._pace.adjust()
        by_origin = self._classifier.fused is not None and not is_kafka(self.settings.source)
        encoded = open_source(self._spark, self.settings, self._pace.size, contents=not by_origin)
        limits = Limits(self.settings.max_bytes, self.settings.max_pixels, self.settings.decode_timeout, shrinks=True)
        rows = outcomes(encoded, self._classifier, self.model.name, self._review_below(), limits, by_origin=by_origin)
        return QueryRun(rows, self.settings, self._write)

    def _review_below(self) -> float:
        for below in (self.settings.review_below, self.model.review_below):
            if below is not None:
                return below
        return MIN_REVIEW_THRESHOLD

    def _check_checkpoint(self) -> None:
        """Raises a SparkdlError if the checkpoint is gone, or not this stream's any more.

        Where it is gone, Spark would start again in its place, at batch 0.
        """
        if not is_claimed(self.settings.checkpoint, self._checkpoint_id):
            raise SparkdlError(f"checkpoint {self.settings.checkpoint} is gone: bring it back")
        self._lock.check()

    def _tell(self, event: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            event(observer)

    def _write(self, rows: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        self._check_checkpoint()
        written = self._sink.write(rows, batch_id)
        self._failures = 0
        if written is not None:
            batch = Batch(batch_id, written.predictions, written.dead_letters, time.monotonic() - started)
            self._pace.note(batch.images, batch.seconds)
            self._tell(lambda observer: observer.batch(batch))

    def _supervise(self) -> None:
        try:
            while self._go_on():
                pass
            if self.settings.after_read is not AfterRead.KEEP:
                self._lock.check()
                close_source(self.settings)
            self._tell(lambda observer: observer.ended())
        except SparkdlError as error:
            self._raised = error
        except Exception as error:  # noqa: BLE001 - whoever waits is to hear of it, whatever it is
            self._raised = SparkdlError(f"the stream failed: {error}")
            self._raised.__cause__ = error
        finally:
            with suppress(Exception):  # of a JVM that has ended
                if self._run is not None and self._run.is_active:
                    self._run.cut_off()  # nothing of it goes on without the lock
            self._lock.release()
            self._ended.set()

    def _go_on(self) -> bool:
        """Watches one query to its end and, if there is to be another, starts that."""
        assert self._run is not None  # started
        successor: tuple[ModelVersion, Classifier] | None = None
        while self._run.is_active:
            self._beat = time.monotonic()
            if self._lock.lost is not None:
                self._run.cut_off()
                raise self._lock.lost
            self._run.look()
            if successor is None and not self._stopping.is_set():
                successor = self._successor()
            if self._stopping.is_set() or successor is not None or self._pace.is_off:
                self._run.leave()
            time.sleep(_POLL)
        error = self._run.error
        if self._stopping.is_set() or (error is None and not self._run.was_left):
            return False
        if error is not None:
            self._retry(error)
        if successor is not None:
            old, (self.model, self._classifier) = self.model.name, successor
            self._promotions.running = self.model
            self._tell(lambda observer: observer.model_changed(old, self.model.name))
        while not self._stopping.is_set():
            try:
                self._run = self._begin()
            except Exception as failure:  # noqa: BLE001 - what Spark cannot start now it may start later
                self._retry(failure)
            else:
                return True
        return False

    def _successor(self) -> tuple[ModelVersion, Classifier] | None:
        """Another version that has been promoted, tried and found good."""
        if time.monotonic() - self._looked < _LOOK:
            return None
        self._looked = time.monotonic()
        try:
            version = self._promotions.next()
            if version is None:
                return None
            return version, load_successor(self._spark, version, self._classifier)
        except RefusedModelError as refusal:
            name, reason = refusal.name, str(refusal)
            self._tell(lambda observer: observer.model_refused(name, reason))
            return None

    def _retry(self, error: Exception) -> None:
        """Waits before the next attempt; raises a SparkdlError if there is none to be."""
        try:
            self._check_checkpoint()
        except LostCheckpointError:
            raise
        except SparkdlError as gone:
            error = gone  # whatever else was missed, it is in there
        failure = Failure.of(error, self.settings)
        if failure.lasting or self._failures >= self.settings.retries:
            attempts = f" {self._failures + 1} times in a row" if self._failures else ""
            raise SparkdlError(f"the stream failed{attempts}: {failure.reason}") from error
        wait = min(_FIRST_WAIT * 2**self._failures, _LONGEST_WAIT)
        self._failures += 1
        self._tell(lambda observer: observer.failed(failure, self._failures, wait))
        self._waiting_for = f"it failed ({failure.reason}) and is started again"
        self._beat = time.monotonic()
        self._stopping.wait(wait)
        self._waiting_for = ""
