"""Supervision of a stream: one Spark query after another on one checkpoint, each continuing from the last one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import ModelVersion
from sparkdl.spark.callbacks import require_token
from sparkdl.spark.java_source import start_no_processes_for_files
from sparkdl.spark.private import ADD_BATCH, gateway
from sparkdl.spark.session import SAFE_PATH
from sparkdl.spark.worker_python import is_local
from sparkdl.system.left_out import LeftOut
from streaming.checkpoint.identity import claim_checkpoint, is_claimed
from streaming.checkpoint.lock import CheckpointLock, LostCheckpointError
from streaming.checkpoint.repair import repair_checkpoint
from streaming.failures import Failure
from streaming.monitoring.health import Health
from streaming.monitoring.observer import Batch, Observer
from streaming.observed import NAME, stats_of
from streaming.plan import StreamPlan
from streaming.realtime.engine import RealtimeEngine
from streaming.results import results
from streaming.sinks.base import BatchSink, DirectSink
from streaming.supervision.batch_query import BatchQuery
from streaming.supervision.batch_sizing import BatchSizer
from streaming.supervision.direct_query import DirectQuery
from streaming.supervision.model_updates import ModelWatcher, try_classifier
from streaming.supervision.promotions import ModelUpdateError
from streaming.supervision.query import QueryRun
from streaming.supervision.realtime_query import RealtimeQuery
from streaming.supervision.retries import RetryPolicy
from streaming.supervision.warm_up import warm_up

_POLL = 0.1  # seconds between two polls of the query
_LOOK = 1.0  # seconds between two polls of what the source leaves out
_HEARTBEAT = 120.0  # seconds without a heartbeat until the stream counts as not live; loading a model takes some


class Supervisor:
    """Starts the queries of a stream: the first, and another after a failure or for another model or batch size.

    Call `open` and `start` once, then `run` on a separate thread.

    Parameters
    ----------
    spark
        The session to run in.
    plan
        The plan of the stream.
    lock
        The lock of its checkpoint, held while the stream runs.
    observers
        Receive the events of the stream.
    stopping
        Set this event to end the stream after the current micro-batch.
    """

    def __init__(
        self,
        spark: SparkSession,
        plan: StreamPlan,
        lock: CheckpointLock,
        observers: Sequence[Observer],
        stopping: threading.Event,
    ) -> None:
        self.model = plan.model
        self._spark, self._plan, self._lock = spark, plan, lock
        self._observers, self._stopping = observers, stopping
        self._settings = plan.settings
        self._sizer = BatchSizer(plan.settings.max_images_per_trigger)
        self._retries = RetryPolicy(plan.settings.retries)
        self._watcher = ModelWatcher(plan.settings.model, plan.model)
        self._heartbeat = time.monotonic()
        self._waiting_for = ""
        self._left_out = LeftOut()
        self._look_at = 0.0
        self._realtime: RealtimeEngine | None = None
        self._classifier: Classifier
        self._checkpoint_id: str
        self._run: QueryRun

    def open(self) -> list[Path]:
        """Load the model, claim the checkpoint and open the sink; return the repaired files of the checkpoint.

        Raises
        ------
        RequestError
            If the sink or the checkpoint belongs to another stream.
        """
        self._spark.sparkContext.environment.setdefault(*SAFE_PATH)  # for a session of the caller
        require_token(gateway())
        start_no_processes_for_files(self._spark.sparkContext)
        plan, sink = self._plan, self._plan.sink
        self._classifier = plan.fused_classifier or plan.model.load()
        self._lock.check()
        if self._settings.is_realtime:
            self._realtime = RealtimeEngine(self._spark, self._settings, plan.source, sink)
        self._checkpoint_id = claim_checkpoint(self._settings.checkpoint, plan.fingerprint)
        sink.open(self._spark, self._checkpoint_id, self._check_checkpoint)
        return repair_checkpoint(
            self._settings.checkpoint, sink.is_complete, repeats_batches=plan.source.repeats_batches
        )

    def start(self) -> None:
        """Start the first query."""
        if self._realtime is None and is_local(self._spark.sparkContext.master):
            warm_up(self._spark, self._classifier, self._settings.limits)
        self._run = self._begin()

    def run(self) -> None:
        """Supervise the stream until it was stopped or all input has been processed.

        Raises
        ------
        SparkdlError
            If the stream failed for good. The message holds the root cause, `__cause__` the error that Spark raised.
        """
        try:
            while self._supervise_query():
                pass
            self._lock.check()  # closing a source may change files
            self._tell_left_out()
            self._plan.source.close(self._settings.checkpoint)
            self._notify(lambda observer: observer.ended())
        finally:
            self._watcher.close()
            if self._realtime is not None:
                self._realtime.close()
            with suppress(Exception):  # the JVM may have ended
                if self._run.is_active:
                    self._run.stop_now()  # it must not run without the lock

    def health(self) -> Health:
        """Return the current health of the running stream."""
        if time.monotonic() - self._heartbeat >= _HEARTBEAT:
            return Health(False, False, f"its supervisor has hung for {_HEARTBEAT:.0f} s: restart it", self.model.name)
        why = self._waiting_for or self._run.not_ready_reason
        return Health(True, not why, why, self.model.name)

    def _begin(self) -> QueryRun:
        self._check_checkpoint()
        if self._realtime is not None:
            rows = self._realtime.results(self.model, self._classifier, self._plan.review_below(self.model))
            return RealtimeQuery(rows, self._realtime.sink, self._settings, self._record_report)
        if self._sizer.should_resize:
            self._sizer.apply()
        source, settings = self._plan.source, self._settings
        read_in_workers = source.has_files and self._classifier.reads_files
        records = source.open(self._spark, settings.checkpoint, self._sizer.size, include_payload=not read_in_workers)
        rows = results(
            records,
            self._classifier,
            self.model.name,
            self._plan.review_below(self.model),
            settings.limits,
            read_in_workers=read_in_workers,
            envelope=source.envelope,
            top_k=settings.entries_kept(self._classifier.classes),
        )
        sink = self._plan.sink
        if isinstance(sink, DirectSink):
            return DirectQuery(rows, sink, settings, self._record_report)
        return BatchQuery(rows, settings, self._write)

    def _check_checkpoint(self) -> None:
        """Raise a SparkdlError if the checkpoint is gone or now belongs to another stream.

        Without this check Spark would create a new checkpoint in its place and start again at batch 0.
        """
        if not is_claimed(self._settings.checkpoint, self._checkpoint_id):
            raise SparkdlError(f"checkpoint {self._settings.checkpoint} is gone: restore it or mount its disk")
        self._lock.check()

    def _notify(self, event: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            event(observer)

    def _tell_left_out(self) -> None:
        left_out = self._plan.source.left_out(self._settings.checkpoint)
        self._look_at = time.monotonic() + _LOOK
        if left_out != self._left_out:
            self._left_out = left_out
            self._notify(lambda observer: observer.left_out(left_out))

    def _write(self, rows: DataFrame, batch_id: int) -> None:
        started = time.monotonic()
        self._check_checkpoint()
        assert isinstance(self._plan.sink, BatchSink)
        stats = self._plan.sink.write(rows, batch_id)
        self._retries.record_success()
        if stats is not None:
            self._record(Batch.of(batch_id, stats, time.monotonic() - started))

    def _record_report(self, report: dict[str, Any]) -> None:
        self._retries.record_success()
        seconds = report["durationMs"][ADD_BATCH] / 1000
        self._record(Batch.of(report["batchId"], stats_of(report["observedMetrics"][NAME]), seconds))

    def _record(self, batch: Batch) -> None:
        if self._realtime is None:
            self._sizer.record(batch.images, batch.seconds)
        self._notify(lambda observer: observer.batch(batch))

    def _supervise_query(self) -> bool:
        """Poll the query until it ends, then start the next; return whether there is one."""
        next_model: tuple[ModelVersion, Classifier] | None = None
        while self._run.is_active:
            self._heartbeat = time.monotonic()
            if self._lock.lost is not None:
                self._run.stop_now()
                raise self._lock.lost
            self._poll()
            if time.monotonic() >= self._look_at:
                self._tell_left_out()
            if next_model is None and not self._stopping.is_set():
                next_model = self._next_model()
            has_grown = False
            if self._realtime is not None:
                has_grown = self._realtime.has_grown()
                if next_model is not None and self._realtime.changes_models:
                    self._use(next_model)
                    next_model = None
            if self._stopping.is_set() or next_model is not None or self._sizer.should_resize or has_grown:
                self._run.request_stop()
            time.sleep(_POLL)
        self._run.poll()
        error = self._run.error
        if self._stopping.is_set() or (error is None and not self._run.was_stopped):
            return False
        if error is not None:
            self._wait_to_retry(error)
        if next_model is not None:
            self._use(next_model)
        while not self._stopping.is_set():
            try:
                self._run = self._begin()
            except Exception as failure:  # noqa: BLE001 - Spark may be able to start it later
                self._wait_to_retry(failure)
            else:
                return True
        return False

    def _poll(self) -> None:
        self._run.poll()
        if isinstance(self._run, DirectQuery):  # the other one checks before it writes
            try:
                self._check_checkpoint()
            except LostCheckpointError:
                raise
            except SparkdlError as gone:
                self._run.fail(gone)

    def _use(self, next_model: tuple[ModelVersion, Classifier]) -> None:
        old, (self.model, self._classifier) = self.model.name, next_model
        self._watcher.running = self.model
        self._notify(lambda observer: observer.model_changed(old, self.model.name))

    def _try(self, version: ModelVersion, classifier: Classifier) -> None:
        if self._realtime is None:
            try_classifier(self._spark, classifier)
        else:
            self._realtime.change(version, classifier, self._plan.review_below(version))

    def _next_model(self) -> tuple[ModelVersion, Classifier] | None:
        try:
            return self._watcher.next_model(self._classifier, self._try)
        except ModelUpdateError as problem:
            self._notify(problem.notify)
            return None

    def _wait_to_retry(self, error: Exception) -> None:
        """Wait before the next attempt; raise a SparkdlError if no attempt is left."""
        try:
            self._check_checkpoint()
        except LostCheckpointError:
            raise
        except SparkdlError as gone:
            error = gone  # the query failed because of this
        describers = (self._plan.source.describe_error, self._plan.sink.describe_error)
        failure = Failure.of(error, self._settings.checkpoint, describers)
        delay = self._retries.record_failure(fatal=failure.fatal)
        failures = self._retries.failures
        if delay is None:
            attempts = f" {failures} times in a row" if failures > 1 else ""
            raise SparkdlError(f"the stream failed{attempts}: {failure.reason}") from error
        self._notify(lambda observer: observer.failed(failure, failures, delay))
        self._waiting_for = f"it failed ({failure.reason}) and is started again"
        self._heartbeat = time.monotonic()
        self._stopping.wait(delay)
        self._waiting_for = ""
