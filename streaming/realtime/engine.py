"""Real-time mode of a stream: scorers, queries, model changes and growing topics."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import ModelVersion
from sparkdl.spark.private import task_slots
from sparkdl.spark.session import scratch_directory
from sparkdl.spark.worker_python import is_local
from sparkdl.system.files import write_atomically
from sparkdl.system.subprocesses import python_command, python_environment, python_path
from streaming.realtime.function import register_scorer, start_scorers
from streaming.realtime.model_file import write_model
from streaming.realtime.partitions import PartitionWatch
from streaming.realtime.request import check_request, check_slots, fused_model
from streaming.realtime.rows import realtime_results
from streaming.realtime.scorer import state_of
from streaming.settings import StreamSettings
from streaming.sinks.base import Sink
from streaming.sources.base import Source

_SCORER = ("-m", "streaming.realtime.scorer")
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_CHANGE_SECONDS = 30.0  # for scorers to switch to another model
_CHECK_SECONDS = 30.0  # for a process to start and to classify one image
_EXECUTOR_SECONDS = 60.0  # for executors to register


class RealtimeEngine:
    """The real-time mode of a stream in one Spark session.

    With a local master, the scorers follow one file. A promoted model replaces it, so the model changes without a
    pause. On a cluster, each model is a file that Spark sends to the executors, and a new query starts for it.

    Raises
    ------
    RequestError
        If the mode does not support a setting, or Spark has fewer slots than the topics have partitions.
    """

    def __init__(self, spark: SparkSession, settings: StreamSettings, source: Source, sink: Sink) -> None:
        self._spark, self._settings = spark, settings
        self._source, self.sink = check_request(settings, source, sink)
        self.changes_models = is_local(spark.sparkContext.master)
        """Whether `change` works without a new query."""
        self._watch = PartitionWatch(self._source.partition_counter(), self._source.partitions)
        self._check_slots()
        self._numbers = 0

    def close(self) -> None:
        """Stop watching the topics, and end the scorers that follow a file."""
        self._watch.close()
        if self.changes_models:
            for path in (self._model_path, state_of(self._model_path)):
                path.unlink(missing_ok=True)

    def results(self, version: ModelVersion, classifier: Classifier, review_below: float) -> DataFrame:
        """Return the results of this model, for a query that is about to start."""
        self._watch.start()
        self._reading = self._watch.partitions
        path = self._write(version, classifier, review_below)
        context = self._spark.sparkContext
        if self.changes_models:
            command = python_command(*_SCORER, "--follow")
            environment = {**_ONE_THREAD, "PYTHONPATH": python_path()}
            model = str(path)
        else:
            context.addFile(str(path))
            command = [context.pythonExec, "-P", *_SCORER, "--scorers", self._executor_scorers()]
            environment = {**context.environment, **_ONE_THREAD}
            model = path.name
        register_scorer(self._spark, command, environment, model)
        if self.changes_models:
            threading.Thread(target=start_scorers, args=(self._spark,), name="scorers", daemon=True).start()
        return realtime_results(self._source.open_realtime(self._spark), self._source.envelope)

    def change(self, version: ModelVersion, classifier: Classifier, review_below: float) -> None:
        """Try a model; if the scorers follow a file, switch them to it.

        Raises
        ------
        SparkdlError
            If the model fails to classify an image, or the scorers do not switch to it in time.
        """
        trial = scratch_directory() / "realtime-trial.npz"
        ticket = self._write_to(trial, version, classifier, review_below)
        _check_model(trial)
        following = self._model_path
        is_followed = self.changes_models and state_of(following).is_file()
        before = following.read_bytes()
        if self.changes_models:
            trial.replace(following)
        if not is_followed:
            return
        deadline = time.monotonic() + _CHANGE_SECONDS
        while True:
            said, _, problem = state_of(following).read_text().partition(" ")
            if said == ticket and not problem:
                return
            if said == ticket or time.monotonic() > deadline:
                write_atomically(following, before)
                raise SparkdlError(problem or f"the scorers have not switched to it within {_CHANGE_SECONDS:.0f} s")
            time.sleep(0.05)

    def has_grown(self) -> bool:
        """Whether the topics have more partitions than at the start of the query, so that a new query must read them.

        Raises
        ------
        SparkdlError
            If they have more partitions than Spark has slots.
        """
        partitions = self._watch.partitions
        if partitions > self._slots:
            raise SparkdlError(
                f"the topics now have {partitions} partitions, and Spark has {self._slots} task slots: start the "
                "stream again with more executors or cores"
            )
        return partitions > self._reading

    def _check_slots(self) -> None:
        deadline = time.monotonic() + (0 if self.changes_models else _EXECUTOR_SECONDS)
        while (slots := task_slots(self._spark.sparkContext)) < self._watch.partitions:
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        self._slots = slots
        check_slots(slots, self._watch.partitions)

    @property
    def _model_path(self) -> Path:
        return scratch_directory() / ("realtime.npz" if self.changes_models else f"realtime-{self._numbers}.npz")

    def _write(self, version: ModelVersion, classifier: Classifier, review_below: float) -> Path:
        self._numbers += 1
        self._write_to(self._model_path, version, classifier, review_below)
        return self._model_path

    def _write_to(self, path: Path, version: ModelVersion, classifier: Classifier, review_below: float) -> str:
        model = fused_model(version, classifier)
        top_k = self._settings.entries_kept(model.head.classes)
        return write_model(path, model, version.name, review_below, self._settings.limits, self._source.envelope, top_k)

    def _executor_scorers(self) -> str:
        """Return the number of scorers per executor: its cores, or 0 for all cores of its machine."""
        context = self._spark.sparkContext
        all_cores = str(context.master).startswith("spark://")
        return context.getConf().get("spark.executor.cores", "0" if all_cores else "1") or "1"


def _check_model(path: Path) -> None:
    """Raise a SparkdlError unless the model in a file classifies an image; tries it in a separate process."""
    try:
        done = subprocess.run(
            python_command(*_SCORER, "--check", str(path)),
            env=python_environment(**_ONE_THREAD),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SparkdlError(f"it has not classified an image within {_CHECK_SECONDS:.0f} s") from error
    if done.returncode and not done.stdout:
        raise SparkdlError((done.stderr.strip().splitlines() or ["its scorer ended"])[-1])
    if done.stdout:
        raise SparkdlError(done.stdout.strip())
