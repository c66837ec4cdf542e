"""Fuses a fitted pipeline into one function of encoded images: ten numbers leave the worker, no picture does.

Stage by stage, pictures and features travel between the JVM and its Python workers, and are boxed there. Where the
stages are those that recipes make, all of them can be computed where the image is decoded, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark import SparkContext
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import IndexToString
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from sparkdl.images.rejection import Limits
from sparkdl.inference.fused_worker import SCORED_TYPE, Head, Scorer
from sparkdl.transformers.featurizer import SCALE_HINTS, DeepImageFeaturizer
from sparkdl.transformers.ink_normalizer import InkNormalizer
from sparkdl.transformers.temperature_scaling import TemperatureScaling


@dataclass(frozen=True)
class Regression:
    """A fitted logistic regression, wherever it comes from.

    Attributes
    ----------
    coefficients
        float64 [K, D], of two classes [1, D].
    intercepts
        float64 [K], of two classes [1].
    takes_the_most_probable
        Whether the class that it predicts is the most probable one; with thresholds of its own it need not be.
    """

    features_column: str
    probability_column: str
    class_count: int
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    takes_the_most_probable: bool

    @classmethod
    def of(cls, model: LogisticRegressionModel) -> Regression:
        """That of a stage of Spark's."""
        return cls(
            features_column=model.getFeaturesCol(),
            probability_column=model.getProbabilityCol(),
            class_count=model.numClasses,
            coefficients=model.coefficientMatrix.toArray(),
            intercepts=model.interceptVector.toArray(),
            takes_the_most_probable=not model.isSet("thresholds") and model.getThreshold() == 0.5,
        )

    def head(self, temperature: float, classes: tuple[str, ...] | None) -> Head:
        """It and the temperature, as one; without names the classes are called by their index."""
        coefficients, intercepts = self.coefficients / temperature, self.intercepts / temperature
        if len(coefficients) == 1:  # of two classes Spark keeps one line; the other's is 0
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0, intercepts)
        names = classes or tuple(map(str, range(self.class_count)))
        return Head(np.ascontiguousarray(coefficients.T), intercepts, names)


@dataclass(frozen=True)
class Fused:
    """The stages of a pipeline that come to numbers.

    Attributes
    ----------
    ink
        None if the pipeline has no such stage.
    head
        The classifier, and the temperature if there is one.
    labels
        What the classes are called; None if nobody says, then their indices are their names.
    """

    ink: InkNormalizer | None
    featurizer: DeepImageFeaturizer
    head: Head
    labels: tuple[str, ...] | None

    def scored(self, encoded: DataFrame, limits: Limits, *, by_origin: bool) -> DataFrame:
        """What `sparkdl.inference.classifier.classify` gives.

        Whole rows go to the workers and come back without the bytes of images. As an argument of a function of columns,
        an image would be kept, and copied several times more, to be put beside what the function gave.
        """
        scorer = self._scorer(encoded.sparkSession.sparkContext, limits)
        score = scorer.score_files if by_origin else scorer.score_payloads
        return encoded.mapInArrow(score, StructType([*encoded.schema, *SCORED_TYPE]))

    def _scorer(self, context: SparkContext, limits: Limits) -> Scorer:
        return Scorer(
            limits,
            self.ink.getMargin() if self.ink else None,
            self.featurizer.shipped(context),
            SCALE_HINTS[self.featurizer.getScaleHint()],
            context.broadcast(self.head),
        )


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
    left = [Regression.of(stage) if isinstance(stage, LogisticRegressionModel) else stage for stage in left]
    if len(left) != 2 or not _belong_together(left[0], left[1], column, probability_column):
        return None
    return Fused(ink, left[0], left[1].head(temperature, classes), classes)


def _belong_together(featurizer: Any, regression: Any, column: str, probability_column: str) -> bool:
    return (
        isinstance(featurizer, DeepImageFeaturizer)
        and isinstance(regression, Regression)
        and featurizer.getInputCol() == column
        and regression.features_column == featurizer.getOutputCol()
        and regression.probability_column == probability_column
        and regression.class_count > 1
        and regression.takes_the_most_probable
    )
