"""Applies a fitted pipeline to encoded images, on batch and streaming DataFrames: each row a prediction or a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.decoding.udf import decode_images
from sparkdl.errors import RequestError
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits, Reason
from sparkdl.images.schema import IMAGE_TYPE
from sparkdl.inference.fused_worker import NO_PROBABILITIES
from sparkdl.inference.fusion import Fused, fuse
from sparkdl.inference.loading import read_fused

_PLACEHOLDER = np.full((8, 8, 1), 127, np.uint8)
ENCODED, DECODED = "_encoded", "_decoded"


class Classifier:
    """A fitted pipeline and what its predictions are called.

    Parameters
    ----------
    pipeline
        Takes a column of images and gives a prediction (class index) and a probability (Vector, one value a class).
    classes
        The name of each class index; None for what the pipeline's `IndexToString` says.

    Attributes
    ----------
    classes
        None if the pipeline does not say either, then the indices are the names.
    """

    def __init__(self, pipeline: PipelineModel, classes: tuple[str, ...] | None = None) -> None:
        self._load: Callable[[], PipelineModel] = lambda: pipeline
        self.classes = classes or _labels(pipeline)

    @classmethod
    def saved(cls, pipeline: Path, classes: tuple[str, ...] | None = None) -> Classifier:
        """That of a saved pipeline on a local disk.

        One that is fused is read from its files at once, and by Spark only if its `pipeline` is asked for.
        """

        def load() -> PipelineModel:
            return PipelineModel.load(pipeline.resolve().as_uri())

        fused = read_fused(pipeline, classes)
        if fused is None:
            return cls(load(), classes)
        classifier = cls.__new__(cls)
        classifier._load, classifier.classes = load, classes or fused.labels
        classifier.fused = fused
        return classifier

    @cached_property
    def pipeline(self) -> PipelineModel:
        """All of its stages."""
        return self._load()

    @cached_property
    def fused(self) -> Fused | None:
        """The pipeline as one function, if it can be that, see `sparkdl.inference.fusion`."""
        return fuse(self.pipeline.stages, self.image_column, self.probability_column, self.classes)

    @property
    def image_column(self) -> str:
        """The column that the pipeline reads images from."""
        for first in self.pipeline.stages[:1]:
            if first.hasParam("inputCol"):
                return str(first.getOrDefault("inputCol"))
        return "image"

    @property
    def probability_column(self) -> str:
        """The column that the pipeline writes probabilities to.

        Raises
        ------
        RequestError
            If none of its stages gives probabilities.
        """
        return _column_of(self.pipeline, "probabilityCol", "probabilities")

    @property
    def prediction_column(self) -> str:
        """The column that the pipeline writes the predicted class index to."""
        return _column_of(self.pipeline, "predictionCol", "a prediction")


def _labels(pipeline: PipelineModel) -> tuple[str, ...] | None:
    named = [tuple(stage.getLabels()) for stage in pipeline.stages if isinstance(stage, IndexToString)]
    return named[-1] if named else None


def _column_of(pipeline: PipelineModel, param: str, what: str) -> str:
    named = [stage for stage in pipeline.stages if isinstance(stage, Transformer) and stage.hasParam(param)]
    if not named or not named[-1].getOrDefault(param):
        kinds = ", ".join(type(stage).__name__ for stage in pipeline.stages)
        raise RequestError(f"expected a pipeline with a classifier that gives {what}, received stages {kinds}")
    return str(named[-1].getOrDefault(param))


def decode_rows(encoded: DataFrame, image_column: str, limits: Limits = DEFAULT_LIMITS) -> DataFrame:
    """Rows with an image for every encoded row, ready for a pipeline's stages.

    A row that does not decode gets a gray placeholder, and what comes of it is to be thrown away: so the good and the
    bad take one pass, whatever the stages are.

    Returns
    -------
    Three columns: `ENCODED`, a struct of the columns of `encoded`; `DECODED`, what `sparkdl.decoding.udf.decode_images`
    gave; and `image_column`.
    """
    return encoded.select(
        F.struct("*").alias(ENCODED), decode_images("payload", "origin", limits).alias(DECODED)
    ).withColumn(image_column, F.coalesce(f"{DECODED}.image", _placeholder()))


def classify(
    encoded: DataFrame, classifier: Classifier, limits: Limits = DEFAULT_LIMITS, *, by_origin: bool = False
) -> DataFrame:
    """Decodes each row's `payload` and applies the pipeline to it.

    Parameters
    ----------
    encoded
        Rows with `payload binary` and `origin string` among their columns.
    by_origin
        For a classifier that is fused, and rows with `size bigint` too: the workers read the files that `origin` names,
        and `payload` and `size` become theirs.

    Returns
    -------
    The same rows, `payload` only of those that were refused, with these columns added: `prediction string`, `confidence
    double` (0..1), `probabilities map<string,double>`, all null where the image was refused; `reason string`, `detail
    string`, null where it was not.
    """
    if classifier.fused is not None:
        return classifier.fused.scored(encoded, limits, by_origin=by_origin)
    scored = _scored(encoded, classifier, limits)
    confidence = F.array_max("_probabilities")
    failed = F.col("_reason").isNull() & (confidence.isNull() | F.isnan(confidence))
    good = F.col("_reason").isNull() & ~failed
    return scored.select(
        *(F.when(~good, F.col(name)).alias(name) if name == "payload" else name for name in encoded.columns),
        F.when(good, _name(F.col("_index"), classifier.classes)).alias("prediction"),
        F.when(good, confidence).alias("confidence"),
        F.when(good, _named(F.col("_probabilities"), classifier.classes)).alias("probabilities"),
        F.when(failed, Reason.MODEL_ERROR.value).otherwise(F.col("_reason")).alias("reason"),
        F.when(failed, NO_PROBABILITIES).otherwise(F.col("_detail")).alias("detail"),
    )


def _scored(encoded: DataFrame, classifier: Classifier, limits: Limits) -> DataFrame:
    """The columns of `encoded`, and `_index, _probabilities, _reason, _detail`."""
    images = decode_rows(encoded, classifier.image_column, limits)
    vector = F.col(classifier.probability_column)
    return classifier.pipeline.transform(images).select(
        f"{ENCODED}.*",
        F.col(classifier.prediction_column).cast("int").alias("_index"),
        F.when(vector.isNotNull(), vector_to_array(vector)).alias("_probabilities"),  # it fails on null
        F.col(f"{DECODED}.reason").alias("_reason"),
        F.col(f"{DECODED}.detail").alias("_detail"),
    )


def _placeholder() -> Column:
    height, width, channels = _PLACEHOLDER.shape
    values = ("", height, width, channels, 0, bytearray(_PLACEHOLDER.tobytes()))
    return F.struct(
        *(F.lit(value).cast(field.dataType).alias(field.name) for field, value in zip(IMAGE_TYPE, values, strict=True))
    )


def _names(classes: Sequence[str]) -> Column:
    return F.array(*(F.lit(name) for name in classes))


def _name(index: Column, classes: tuple[str, ...] | None) -> Column:
    return index.cast("string") if classes is None else F.element_at(_names(classes), index + 1)


def _named(probabilities: Column, classes: tuple[str, ...] | None) -> Column:
    if classes is not None:
        return F.map_from_arrays(_names(classes), probabilities)
    indices = F.transform(F.sequence(F.lit(0), F.size(probabilities) - 1), lambda i: i.cast("string"))
    return F.map_from_arrays(indices, probabilities)
