"""Model updates while a stream runs: a promoted version is tried, then used or refused."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import ModelVersion
from streaming.failures import root_cause
from streaming.results import results
from streaming.schemas import INPUT_RECORD
from streaming.supervision.promotions import Promotions, RefusedModelError

_POLL = 1.0  # seconds between two polls


class ModelWatcher:
    """Watches for promoted versions, see `streaming.supervision.promotions`.

    Parameters
    ----------
    address
        The address of the model, as in `--model`.
    running
        The version that the stream uses. Set the attribute when the stream changes it.
    """

    def __init__(self, address: str, running: ModelVersion) -> None:
        self._promotions = Promotions.of(address, running)
        self.running = running
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
        UnreachableModelError
            If the server that would name it does not answer; raised at most once in ten minutes.
        """
        if time.monotonic() - self._polled_at < _POLL:
            return None
        self._polled_at = time.monotonic()
        version = self._promotions.take()
        if version is None or version.name == self.running.name:
            return None
        return version, load_next(version, running, attempt)

    def close(self) -> None:
        """Stop watching."""
        self._promotions.close()


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
