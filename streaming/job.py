"""Control of a running stream: start, stop, wait, health."""

from __future__ import annotations

import threading

from pyspark.sql import SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.models.registry import ModelVersion
from streaming.checkpoint.lock import CheckpointLock
from streaming.failures import Failure, root_cause, with_causes
from streaming.monitoring.health import STARTING, Health
from streaming.monitoring.observer import Observer
from streaming.plan import StreamPlan
from streaming.supervision.supervisor import Supervisor


class StreamJob:
    """A stream from its source through a model to its sink.

    It runs in the background, as one Spark query after another on one checkpoint (`streaming.supervision.supervisor`).

    Parameters
    ----------
    spark
        The session to run in: the plan's `session`, or one that was started with its `spark_conf` and `connectors`.
    plan
        The plan, from `streaming.plan.prepare`.
    observers
        Receive the events of the stream.
    lock
        The lock of the checkpoint, if the caller has already acquired it. The job releases it when it ends.
    """

    def __init__(
        self, spark: SparkSession, plan: StreamPlan, *observers: Observer, lock: CheckpointLock | None = None
    ) -> None:
        self._spark, self._plan, self._observers, self._lock = spark, plan, observers, lock
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._supervisor: Supervisor | None = None
        self._error: SparkdlError | None = None

    @property
    def model(self) -> ModelVersion:
        """The version in use."""
        return self._supervisor.model if self._supervisor else self._plan.model

    def start(self) -> None:
        """Start the stream in the background.

        Raises
        ------
        RequestError
            If another stream uses the checkpoint, or the sink holds batches of another checkpoint.
        SparkdlError
            If the stream cannot be started for another reason; `__cause__` is the error that Spark raised.
        """
        settings = self._plan.settings
        lock = self._lock or CheckpointLock.acquire(settings.checkpoint)
        supervisor = Supervisor(self._spark, self._plan, lock, self._observers, self._stopping)
        try:
            repaired = supervisor.open()
            supervisor.start()
        except BaseException as error:
            self._release(lock)
            if isinstance(error, SparkdlError) or not isinstance(error, Exception):
                raise
            describers = (self._plan.source.describe_error, self._plan.sink.describe_error)
            reason = Failure.of(error, settings.checkpoint, describers).reason
            raise SparkdlError(f"the stream cannot be started: {reason}") from error
        self._supervisor = supervisor
        for observer in self._observers:
            for path in repaired:
                observer.repaired(path)
            observer.started(str(self._plan.source), str(self._plan.sink), settings.checkpoint, self.model.name)
        threading.Thread(target=self._run, args=(supervisor, lock), name="stream", daemon=True).start()

    @property
    def is_active(self) -> bool:
        """Whether the stream has been started and has not ended."""
        return self._supervisor is not None and not self._ended.is_set()

    def stop(self) -> None:
        """Ask the stream to end after its micro-batch; `wait` returns when it has."""
        self._stopping.set()

    def wait(self) -> None:
        """Block until the stream has ended: after `stop`, or because all input has been processed.

        Raises
        ------
        SparkdlError
            If the stream failed for good. The message holds the root cause, `__cause__` the error that Spark raised.
        """
        self._ended.wait()
        if self._error is not None:
            raise self._error

    def health(self) -> Health:
        """Return the current health of the stream."""
        if self._ended.is_set():
            return Health(False, False, "it has ended", self.model.name)
        if self._supervisor is None:
            return Health(True, False, STARTING, self.model.name)
        return self._supervisor.health()

    def _run(self, supervisor: Supervisor, lock: CheckpointLock) -> None:
        try:
            supervisor.run()
        except SparkdlError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - `wait` raises it, whatever it is
            self._error = SparkdlError(f"the stream failed: {root_cause(with_causes(error))}")
            self._error.__cause__ = error
        finally:
            self._release(lock)
            self._ended.set()

    def _release(self, lock: CheckpointLock) -> None:
        try:
            self._plan.sink.close()
        finally:
            lock.release()
