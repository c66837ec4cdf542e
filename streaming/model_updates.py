"""Follows a registry while a stream runs: another version that is promoted is tried, then taken or refused."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.images.rejection import DEFAULT_LIMITS
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import CURRENT, ModelVersion, Registry
from streaming.failures import root_cause
from streaming.results import outcomes
from streaming.schemas import ENCODED


class RefusedModelError(SparkdlError):
    """A promoted version cannot be taken.

    Attributes
    ----------
    name
        Of the version, or what stands in its place.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class Promotions:
    """The promoted versions of the registry at `address`; of any other address there are none.

    Parameters
    ----------
    address
        What `--model` says.
    running
        The version that the stream runs with.
    """

    def __init__(self, address: str, running: ModelVersion) -> None:
        path = Path(address).resolve()
        self._registry = Registry(path) if running.path.parent == path else None
        self.running = running
        self._looked_at = self._signature()

    def _signature(self) -> tuple[int, int] | None:
        """What changes whenever a version is promoted, also the same one again."""
        if self._registry is None:
            return None
        try:
            status = (self._registry.path / CURRENT).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def next(self) -> ModelVersion | None:
        """The version that was promoted since the last call, if it is not the one that runs.

        Raises
        ------
        RefusedModelError
            If what was promoted is no version.
        """
        signature = self._signature()
        if self._registry is None or signature in (None, self._looked_at):
            return None
        self._looked_at = signature
        try:
            promoted = self._registry.current()
        except SparkdlError as error:
            raise RefusedModelError(CURRENT, str(error)) from error
        return promoted if promoted is not None and promoted.name != self.running.name else None


def load_successor(spark: SparkSession, version: ModelVersion, running: Classifier) -> Classifier:
    """Loads `version` and has it classify an image, as a worker would.

    Raises
    ------
    RefusedModelError
        If its files differ from what was saved, it cannot be loaded, its classes are not those of `running`, or it
        does not classify.
    """
    try:
        classifier = version.load()
        if set(classifier.classes or ()) != set(running.classes or ()):
            raise SparkdlError(
                f"its classes are {_list(classifier.classes)}, the running model's {_list(running.classes)}"
            )
        try_classifier(spark, classifier)
    except SparkdlError as error:
        raise RefusedModelError(version.name, str(error)) from error
    return classifier


def try_classifier(spark: SparkSession, classifier: Classifier) -> None:
    """Raises a SparkdlError unless `classifier` names a class for a gray image and gives each class a probability."""
    try:
        row = outcomes(_gray_image(spark), classifier, "", 0, DEFAULT_LIMITS).collect()[0]
    except Exception as error:
        raise SparkdlError(f"it fails on an image: {root_cause(str(error))}") from error
    if row["reason"] is not None:
        raise SparkdlError(f"it fails on an image: {row['detail']}")
    given = None if row["probabilities"] is None else set(row["probabilities"])
    if classifier.classes is not None and (
        row["prediction"] not in classifier.classes or given != set(classifier.classes)
    ):
        raise SparkdlError(f"it gives probabilities of {_list(given)}, its classes are {_list(classifier.classes)}")


def _gray_image(spark: SparkSession) -> DataFrame:
    file = io.BytesIO()
    Image.new("L", (32, 32), 127).save(file, "PNG")
    payload = file.getvalue()
    return spark.createDataFrame([("", "", bytearray(payload), len(payload), None, datetime.now(UTC))], ENCODED)


def _list(names: Iterable[str] | None) -> str:
    return ", ".join(sorted(names or ())) or "not stated"
