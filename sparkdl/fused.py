"""Fuses a fitted pipeline into one function of encoded images: ten numbers leave the worker, no picture does.

Stage by stage, pictures and features travel between the JVM and its Python workers, and are boxed there. Where the
stages are those that recipes make, all of them can be computed where the image is decoded, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import SparkContext
from pyspark.ml import Transformer
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import IndexToString
from pyspark.sql import Column

from sparkdl.arrow import arrow_udf
from sparkdl.featurizer import SCALE_HINTS, DeepImageFeaturizer
from sparkdl.normalize import InkNormalizer
from sparkdl.rejection import Limits
from sparkdl.scoring import READ_TYPE, SCORED_TYPE, Head, Scorer
from sparkdl.temperature import TemperatureScaling


@dataclass(frozen=True)
class Fused:
    """The stages of a pipeline that come to numbers.

    Attributes
    ----------
    ink
        None if the pipeline has no such stage.
    temperature
        1.0 if the pipeline has no `TemperatureScaling`.
    classes
        What the classes are called.
    """

    ink: InkNormalizer | None
    featurizer: DeepImageFeaturizer
    classifier: LogisticRegressionModel
    temperature: float
    classes: tuple[str, ...]

    def scored(self, context: SparkContext, payload: Column, limits: Limits) -> Column:
        """`SCORED_TYPE` of a column of encoded images."""
        scorer = self._scorer(context, limits)

        def scored(payloads: pa.Array) -> pa.Array:
            return scorer.score(payloads)

        return arrow_udf(scored, SCORED_TYPE)(payload)

    def scored_files(self, context: SparkContext, origin: Column, limits: Limits) -> Column:
        """`READ_TYPE` of a column of files, named as `sparkdl.files.origin_of` does; the workers read them."""
        scorer = self._scorer(context, limits)

        def scored(origins: pa.Array) -> pa.Array:
            return scorer.score_files(origins)

        return arrow_udf(scored, READ_TYPE)(origin)

    def _scorer(self, context: SparkContext, limits: Limits) -> Scorer:
        return Scorer(
            limits,
            self.ink.getMargin() if self.ink else None,
            self.featurizer.shipped(context),
            SCALE_HINTS[self.featurizer.getScaleHint()],
            context.broadcast(self.head()),
        )

    def head(self) -> Head:
        """The classifier and the temperature, as one."""
        coefficients = self.classifier.coefficientMatrix.toArray() / self.temperature
        intercepts = self.classifier.interceptVector.toArray() / self.temperature
        if len(coefficients) == 1:  # of two classes Spark keeps one line; the other's is 0
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0, intercepts)
        return Head(np.ascontiguousarray(coefficients.T), intercepts, self.classes)


def fuse(
    stages: Sequence[Any], image_column: str, probability_column: str, classes: tuple[str, ...] | None = None
) -> Fused | None:
    """`stages` as one, from `image_column` to `probability_column`; None if they are of other kinds or another order.

    The order is `InkNormalizer`, which may be missing, `DeepImageFeaturizer`, `LogisticRegressionModel`,
    `TemperatureScaling`, which may be missing too; each reads what the one before it writes. What classes are called
    (`IndexToString`) does not matter here: `classes` says it.
    """
    left: list[Any] = [stage for stage in stages if not isinstance(stage, IndexToString)]
    column, ink, temperature = image_column, None, 1.0
    if left and isinstance(left[0], InkNormalizer):
        ink = left.pop(0)
        if ink.getInputCol() != column:
            return None
        column = ink.getOutputCol()
    if left and isinstance(left[-1], TemperatureScaling):
        scaling = left.pop()
        if scaling.getProbabilityCol() != probability_column:
            return None
        temperature = scaling.getTemperature()
    if len(left) != 2 or not _belong_together(left[0], left[1], column, probability_column):
        return None
    return Fused(ink, left[0], left[1], temperature, classes or tuple(map(str, range(left[1].numClasses))))


def _belong_together(featurizer: Transformer, classifier: Transformer, column: str, probability_column: str) -> bool:
    return (
        isinstance(featurizer, DeepImageFeaturizer)
        and isinstance(classifier, LogisticRegressionModel)
        and featurizer.getInputCol() == column
        and classifier.getFeaturesCol() == featurizer.getOutputCol()
        and classifier.getProbabilityCol() == probability_column
        and classifier.numClasses > 1
        # With thresholds of its own the class that it predicts need not be the most probable one.
        and not classifier.isSet("thresholds")
        and classifier.getThreshold() == 0.5
    )
