"""Model updates while a stream runs: a promoted version is tried, then used or refused."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import CURRENT, ModelVersion, Registry
from streaming.failures import root_cause
from streaming.results import results
from streaming.schemas import INPUT_RECORD

_POLL = 1.0  # seconds between two polls of the registry


class RefusedModelError(SparkdlError):
    """A promoted version cannot be used.

    Attributes
    ----------
    name
        The name of the version, or of the file that should name it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class ModelWatcher:
    """Watches a registry for promoted versions. A model that is not in a registry is never updated.

    Parameters
    ----------
    address
        The address of the model, as in `--model`.
    running
        The version that the stream uses. Set the attribute when the stream changes it.
    """

    def __init__(self, address: str, running: ModelVersion) -> None:
        path = Path(address).resolve()
        self._registry = Registry(path) if running.path.parent == path else None
        self.running = running
        self._known = self._signature()
        self._polled_at = time.monotonic()

    def next_model(
        self, running: Classifier, attempt: Callable[[ModelVersion, Classifier], None]
    ) -> tuple[ModelVersion, Classifier] | None:
        """Return a newly promoted version, loaded and tested; None if there is none. Polls at most once a second.

        Parameters
        ----------
        attempt
            Raises a SparkdlError if the version cannot classify.

        Raises
        ------
        RefusedModelError
            If the promoted version does not exist, differs from what was saved, cannot be loaded, has other classes
            than `running`, or fails to classify.
        """
        if time.monotonic() - self._polled_at < _POLL:
            return None
        self._polled_at = time.monotonic()
        version = self.promoted()
        return None if version is None else (version, load_next(version, running, attempt))

    def promoted(self) -> ModelVersion | None:
        """Return the version that was promoted since the last call; None if there is none or it is the running one.

        Raises
        ------
        RefusedModelError
            If the promoted version does not exist.
        """
        signature = self._signature()
        if self._registry is None or signature in (None, self._known):
            return None
        self._known = signature
        try:
            promoted = self._registry.current()
        except SparkdlError as error:
            raise RefusedModelError(CURRENT, str(error)) from error
        return promoted if promoted is not None and promoted.name != self.running.name else None

    def _signature(self) -> tuple[int, int] | None:
        """Return a value that changes with each promotion, even of the same version."""
        if self._registry is None:
            return None
        try:
            status = (self._registry.path / CURRENT).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino


def load_next(
    version: ModelVersion, running: Classifier, attempt: Callable[[ModelVersion, Classifier], None]
) -> Classifier:
    """Load `version` and try it.

    Raises
    ------
    RefusedModelError
        If its files differ from what was saved, it cannot be loaded, its classes are not those of `running`, or it
        fails to classify.
    """
    try:
        classifier = version.load()
        if set(classifier.classes or ()) != set(running.classes or ()):
            raise SparkdlError(
                f"its classes are {_list(classifier.classes)}, the running model's {_list(running.classes)}"
            )
        attempt(version, classifier)
    except SparkdlError as error:
        raise RefusedModelError(version.name, str(error)) from error
    return classifier


def try_classifier(spark: SparkSession, classifier: Classifier) -> None:
    """Raise a SparkdlError unless `classifier` returns a class and all probabilities for a gray image."""
    try:
        row = results(_gray_image(spark), classifier, "", 0, DEFAULT_LIMITS).collect()[0]
    except Exception as error:
        raise SparkdlError(f"it fails on an image: {root_cause(str(error))}") from error
    if row["reason"] is not None:
        raise SparkdlError(f"it fails on an image: {row['detail']}")
    given = None if row["probabilities"] is None else set(row["probabilities"])
    if classifier.classes is not None and (
        row["prediction"] not in classifier.classes or given != set(classifier.classes)
    ):
        raise SparkdlError(f"it gives probabilities of {_list(given)}, but its classes are {_list(classifier.classes)}")


def _gray_image(spark: SparkSession) -> DataFrame:
    file = io.BytesIO()
    Image.new("L", (32, 32), 127).save(file, "PNG")
    payload = file.getvalue()
    return spark.createDataFrame([("", "", bytearray(payload), len(payload), None, datetime.now(UTC))], INPUT_RECORD)


def _list(names: Iterable[str] | None) -> str:
    return ", ".join(sorted(names or ())) or "not stated"
