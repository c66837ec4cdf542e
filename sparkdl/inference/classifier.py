"""Classifier: a fitted pipeline applied to encoded images in batch or streaming DataFrames.

Each row becomes a prediction or a rejection with a reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.decoding.udf import decode_images
from sparkdl.errors import RequestError
from sparkdl.formats.envelopes import ATTRIBUTES, Envelope
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits, Reason
from sparkdl.images.schema import IMAGE_TYPE
from sparkdl.inference.fused_worker import NO_PROBABILITIES
from sparkdl.inference.fusion import FusedModel, fuse
from sparkdl.inference.loading import load_fused

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel

_PLACEHOLDER = np.full((8, 8, 1), 127, np.uint8)
INPUT_RECORD, DECODED = "_input_record", "_decoded"


class Classifier(ABC):
    """A fitted pipeline and the names of its classes.

    `Classifier.load` and `Classifier.of` return a `FusedClassifier` if the pipeline's stages allow it, otherwise a
    `PipelineClassifier`. Both return the same rows; callers need not know which one they have.

    Attributes
    ----------
    classes
        The name of each class index; None if the pipeline does not state them, and then the indices are the names.
    """

    classes: tuple[str, ...] | None

    @staticmethod
    def of(pipeline: PipelineModel, classes: tuple[str, ...] | None = None) -> Classifier:
        """Return the classifier of a pipeline in memory.

        Parameters
        ----------
        pipeline
            Reads a column of images and adds a prediction (class index) and a probability (Vector, one value a class).
        classes
            The name of each class index. Default: the labels of the pipeline's `IndexToString`.
        """
        from sparkdl.inference import stages

        labels = classes or stages.labels_of(pipeline)
        described = stages.describe(pipeline)
        fused = None if described is None else fuse(described, labels)
        return PipelineClassifier(pipeline, labels) if fused is None else FusedClassifier(fused, lambda: pipeline)

    @staticmethod
    def load(pipeline: Path, classes: tuple[str, ...] | None = None) -> Classifier:
        """Return the classifier of a pipeline that is saved on a local disk.

        A pipeline that can be fused is read from its files; Spark loads it only when `pipeline` is accessed.

        Raises
        ------
        SparkdlError
            If the network of a pipeline that can be fused differs from the saved one, or is refused.
        """

        return Classifier.load_fused(pipeline, classes) or Classifier.of(_load(pipeline), classes)

    @staticmethod
    def load_fused(pipeline: Path, classes: tuple[str, ...] | None = None) -> Classifier | None:
        """Do the same as `load`, but without Spark; return None if the pipeline cannot be fused."""
        fused = load_fused(pipeline, classes)
        return None if fused is None else FusedClassifier(fused, partial(_load, pipeline))

    @property
    @abstractmethod
    def reads_files(self) -> bool:
        """Whether the workers can read the files named by `origin`; see `classify`."""

    @property
    @abstractmethod
    def pipeline(self) -> PipelineModel:
        """The pipeline with all its stages."""

    @abstractmethod
    def classify(
        self,
        records: DataFrame,
        limits: Limits = DEFAULT_LIMITS,
        *,
        read_in_workers: bool = False,
        envelope: Envelope | None = None,
        top_k: int | None = None,
    ) -> DataFrame:
        """Decode the `payload` of each row and apply the pipeline to it.

        Parameters
        ----------
        records
            Rows with `payload binary` and `origin string` among their columns.
        limits
            The limits for one image.
        read_in_workers
            Let the workers read the files named by `origin`; `payload` and `size` are replaced by those of the file.
            The rows need a column `size bigint`. Only supported if `reads_files` is true.
        envelope
            How `payload` contains the image; None if it is the image. An envelope with attributes needs their column,
            `sparkdl.formats.envelopes.ATTRIBUTES`.
        top_k
            The number of most probable classes in `probabilities`, 1 or more; None for all.

        Returns
        -------
        The same rows, with `payload` only if the image was rejected, and these columns added: `prediction string`,
        `confidence double` (0..1), `probabilities map<string,double>`, `labels array<string>`, all null if the image
        was rejected; `labels` is null too unless an image can have several classes; `reason string`, `detail string`,
        null if it was not; `scored_at timestamp`, when it was classified or rejected; `batch_id bigint`, the
        micro-batch of a streaming query, null in other queries.

        Raises
        ------
        RequestError
            If the pipeline returns no prediction or no probabilities, or the workers cannot read files.
        """


class FusedClassifier(Classifier):
    """A pipeline as one function of encoded images; see `sparkdl.inference.fusion`.

    Parameters
    ----------
    model
        The pipeline as values.
    load
        Returns the pipeline with all its stages.
    """

    def __init__(self, model: FusedModel, load: Callable[[], PipelineModel]) -> None:
        self.model = model
        self.classes = model.labels
        self._load = load

    @property
    def reads_files(self) -> bool:
        return True

    @cached_property
    def pipeline(self) -> PipelineModel:
        return self._load()

    def classify(
        self,
        records: DataFrame,
        limits: Limits = DEFAULT_LIMITS,
        *,
        read_in_workers: bool = False,
        envelope: Envelope | None = None,
        top_k: int | None = None,
    ) -> DataFrame:
        return self.model.predict(records, limits, read_in_workers=read_in_workers, envelope=envelope, top_k=top_k)


class PipelineClassifier(Classifier):
    """A pipeline of arbitrary stages, applied one after the other."""

    def __init__(self, pipeline: PipelineModel, classes: tuple[str, ...] | None) -> None:
        self._pipeline = pipeline
        self.classes = classes

    @property
    def reads_files(self) -> bool:
        return False

    @property
    def pipeline(self) -> PipelineModel:
        return self._pipeline

    def classify(
        self,
        records: DataFrame,
        limits: Limits = DEFAULT_LIMITS,
        *,
        read_in_workers: bool = False,
        envelope: Envelope | None = None,
        top_k: int | None = None,
    ) -> DataFrame:
        from sparkdl.inference import stages

        if read_in_workers:
            raise RequestError("expected a pipeline that can be fused to read files in workers, received another one")
        images = decode_rows(records, stages.image_column(self._pipeline), limits, envelope)
        predicted = stages.apply(self._pipeline, images, index="_index", probabilities="_probabilities")
        reason, detail = F.col(f"{DECODED}.reason"), F.col(f"{DECODED}.detail")
        confidence = F.array_max("_probabilities")
        failed = reason.isNull() & (confidence.isNull() | F.isnan(confidence))
        good = reason.isNull() & ~failed
        values = {name: F.col(f"{INPUT_RECORD}.`{name}`") for name in records.columns}
        return predicted.select(
            *((F.when(~good, value) if name == "payload" else value).alias(name) for name, value in values.items()),
            F.when(good, _name(F.col("_index"), self.classes)).alias("prediction"),
            F.when(good, confidence).alias("confidence"),
            F.when(good, _bounded(_named(F.col("_probabilities"), self.classes), top_k)).alias("probabilities"),
            F.lit(None).cast("array<string>").alias("labels"),
            F.when(failed, Reason.MODEL_ERROR.value).otherwise(reason).alias("reason"),
            F.when(failed, NO_PROBABILITIES).otherwise(detail).alias("detail"),
            _now().alias("scored_at"),
            F.col(f"{DECODED}.batch_id").alias("batch_id"),
        )


def _load(pipeline: Path) -> PipelineModel:
    from pyspark.ml import PipelineModel

    return PipelineModel.load(pipeline.resolve().as_uri())


def decode_rows(
    records: DataFrame, image_column: str, limits: Limits = DEFAULT_LIMITS, envelope: Envelope | None = None
) -> DataFrame:
    """Return rows with an image for every input record, ready for a pipeline's stages.

    A row that cannot be decoded gets a gray placeholder, whose result must be discarded. Therefore all rows take one
    pass, whatever the stages are.

    Returns
    -------
    Three columns: `INPUT_RECORD`, a struct of the columns of `records`; `DECODED`, the result of
    `sparkdl.decoding.udf.decode_images`; and `image_column`.
    """
    attributes = ATTRIBUTES if envelope is not None and envelope.has_attributes else None
    decoded = decode_images("payload", "origin", limits, envelope=envelope, attributes=attributes)
    return records.select(F.struct("*").alias(INPUT_RECORD), decoded.alias(DECODED)).withColumn(
        image_column, F.coalesce(f"{DECODED}.image", _placeholder())
    )


def _placeholder() -> Column:
    height, width, channels = _PLACEHOLDER.shape
    values = ("", height, width, channels, 0, bytearray(_PLACEHOLDER.tobytes()))
    return F.struct(
        *(F.lit(value).cast(field.dataType).alias(field.name) for field, value in zip(IMAGE_TYPE, values, strict=True))
    )


def _now() -> Column:
    """Return the time at which a row is evaluated; `current_timestamp` is the same for a whole micro-batch."""
    return F.timestamp_millis(F.reflect(F.lit("java.lang.System"), F.lit("currentTimeMillis")).cast("long"))


def _names(classes: Sequence[str]) -> Column:
    return F.array(*(F.lit(name) for name in classes))


def _name(index: Column, classes: tuple[str, ...] | None) -> Column:
    return index.cast("string") if classes is None else F.element_at(_names(classes), index + 1)


def _named(probabilities: Column, classes: tuple[str, ...] | None) -> Column:
    if classes is not None:
        return F.map_from_arrays(_names(classes), probabilities)
    indices = F.transform(F.sequence(F.lit(0), F.size(probabilities) - 1), lambda i: i.cast("string"))
    return F.map_from_arrays(indices, probabilities)


def _bounded(probabilities: Column, top_k: int | None) -> Column:
    """Return the `top_k` highest entries of a map, the highest first."""
    if top_k is None:
        return probabilities
    entries = F.array_sort(
        F.map_entries(probabilities), lambda left, right: F.signum(right["value"] - left["value"]).cast("int")
    )
    return F.map_from_entries(F.slice(entries, 1, top_k))
