"""Fusion of a fitted pipeline into one function of encoded images: only probabilities leave the worker.

Applied stage by stage, a pipeline sends pixels and features between the JVM and its Python workers, and boxes them
there. A pipeline with the stages of a recipe is instead computed where the image is decoded, with the same numbers.

Values describe the stages, both of a pipeline in memory (`sparkdl.inference.stages`) and of a saved one
(`sparkdl.inference.loading`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Resampling

from sparkdl.formats.envelopes import Envelope
from sparkdl.images.rejection import Limits
from sparkdl.inference.fused_worker import RESULT_TYPE, FusedInference
from sparkdl.inference.heads import Head, OutputHead
from sparkdl.networks.framing import STRETCH, Framing
from sparkdl.networks.imported.description import Activation
from sparkdl.networks.imported.settings import ImportedSettings
from sparkdl.networks.runtime import CHUNK, Network
from sparkdl.networks.spec import SCALE_HINTS, NetworkSpec
from sparkdl.spark.private import map_in_arrow

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Ink:
    """An `InkNormalizer` from images in `input_column` to ink in `output_column`."""

    input_column: str
    output_column: str
    margin: float


@dataclass(frozen=True)
class Featurizer:
    """A `DeepImageFeaturizer` from images in `input_column` to features in `output_column`.

    Attributes
    ----------
    scale_hint
        A name in `sparkdl.networks.spec.SCALE_HINTS`.
    load
        Returns the ONNX file of the network.
    """

    input_column: str
    output_column: str
    spec: NetworkSpec
    scale_hint: str
    load: Callable[[], bytes]

    @cached_property
    def network(self) -> bytes:
        """The ONNX file."""
        return self.load()

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the network takes."""
        return self.spec.input_shape

    @property
    def resample(self) -> Resampling:
        """Pillow's filter."""
        return SCALE_HINTS[self.scale_hint]

    @property
    def framing(self) -> Framing:
        """How images become ones of that size."""
        return STRETCH

    @property
    def batch_size(self) -> int:
        """Images per call."""
        return CHUNK


@dataclass(frozen=True)
class Imported:
    """An `ImportedClassifier`: images of `input_column` become probabilities in `probability_column`.

    Attributes
    ----------
    activation, threshold
        As of `sparkdl.inference.heads.OutputHead`.
    load
        Returns the ONNX file of the network.
    """

    input_column: str
    probability_column: str
    class_count: int
    input_shape: tuple[int, int, int]
    framing: Framing
    resample: Resampling
    batch_size: int
    activation: Activation
    threshold: float | None
    load: Callable[[], bytes]

    @staticmethod
    def of(
        settings: ImportedSettings, input_column: str, probability_column: str, load: Callable[[], bytes]
    ) -> Imported:
        """Return the stage with these settings and columns."""
        return Imported(
            input_column=input_column,
            probability_column=probability_column,
            class_count=settings.class_count,
            input_shape=settings.input_shape,
            framing=settings.framing,
            resample=settings.resample,
            batch_size=settings.batch_size,
            activation=settings.activation,
            threshold=settings.threshold,
            load=load,
        )

    @cached_property
    def network(self) -> bytes:
        """The ONNX file."""
        return self.load()

    def head(self, classes: tuple[str, ...] | None) -> OutputHead:
        """Return its head; without names the classes are named by their index."""
        return OutputHead(self.activation, classes or tuple(map(str, range(self.class_count))), self.threshold)


@dataclass(frozen=True)
class Regression:
    """A fitted logistic regression.

    Attributes
    ----------
    coefficients
        float64 [K, D]; [1, D] for two classes.
    intercepts
        float64 [K]; [1] for two classes.
    predicts_most_probable
        Whether it predicts the most probable class, which is true unless it has custom thresholds.
    """

    features_column: str
    probability_column: str
    class_count: int
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    predicts_most_probable: bool

    def head(self, temperature: float, classes: tuple[str, ...] | None) -> Head:
        """Return it and the temperature as one; without names the classes are named by their index."""
        coefficients, intercepts = self.coefficients / temperature, self.intercepts / temperature
        if len(coefficients) == 1:  # of two classes Spark keeps one row; the other's is 0
            coefficients, intercepts = np.vstack([0 * coefficients, coefficients]), np.append(0, intercepts)
        names = classes or tuple(map(str, range(self.class_count)))
        return Head(np.ascontiguousarray(coefficients.T), intercepts, names)


@dataclass(frozen=True)
class Temperature:
    """A `TemperatureScaling` of `probability_column`."""

    probability_column: str
    temperature: float


Stage = Ink | Featurizer | Imported | Regression | Temperature
"""A stage that can be fused."""


@dataclass(frozen=True)
class FusedModel:
    """A pipeline as values.

    Attributes
    ----------
    ink_margin
        The margin of `sparkdl.InkNormalizer`; None if the pipeline has no such stage.
    featurizer
        What gives the network, and how images are made ready for it.
    head
        The classifier, with the temperature if there is one.
    labels
        The names of the classes; None if they are named by their index.
    """

    ink_margin: float | None
    featurizer: Featurizer | Imported
    head: Head | OutputHead
    labels: tuple[str, ...] | None

    def predict(
        self,
        records: DataFrame,
        limits: Limits,
        *,
        read_in_workers: bool,
        envelope: Envelope | None = None,
        top_k: int | None = None,
    ) -> DataFrame:
        """Return the rows of `sparkdl.inference.classifier.Classifier.classify`.

        Whole rows are sent to the workers and return without the bytes of images. As an argument of a column function,
        an image would be kept and copied several more times, to be joined with the function's result.
        """
        from pyspark.sql.types import StructType

        inference = self.inference(records.sparkSession.sparkContext, limits, envelope, top_k)
        predict = inference.predict_files if read_in_workers else inference.predict_payloads
        return map_in_arrow(records, predict, StructType([*records.schema, *RESULT_TYPE]))

    def inference(
        self, context: SparkContext, limits: Limits, envelope: Envelope | None = None, top_k: int | None = None
    ) -> FusedInference:
        """Return the worker's side, with the network and the head as broadcasts."""
        featurizer, content = self.featurizer, self.featurizer.network
        digest, shared = hashlib.sha256(content).hexdigest(), context.broadcast(content)
        return FusedInference(
            limits,
            self.ink_margin,
            Network(digest, shared, featurizer.input_shape, featurizer.framing, featurizer.batch_size),
            featurizer.resample,
            context.broadcast(self.head),
            envelope,
            top_k,
        )


def fuse(stages: Sequence[Stage], labels: tuple[str, ...] | None) -> FusedModel | None:
    """Return the fused `stages`; None if they are of other kinds or in another order.

    The order is `Ink` (optional), `Featurizer`, `Regression`, `Temperature` (optional), or `Imported` alone. Each stage
    reads the output column of the stage before it.

    Parameters
    ----------
    labels
        The names of the classes; None to name them by their index.
    """
    rest = list(stages)
    if len(rest) == 1 and isinstance(rest[0], Imported):
        return FusedModel(None, rest[0], rest[0].head(labels), labels)
    ink = rest.pop(0) if rest and isinstance(rest[0], Ink) else None
    scaling = rest.pop() if rest and isinstance(rest[-1], Temperature) else None
    if len(rest) != 2:
        return None
    featurizer, regression = rest
    if not isinstance(featurizer, Featurizer) or not isinstance(regression, Regression):
        return None
    if (
        (isinstance(ink, Ink) and ink.output_column != featurizer.input_column)
        or regression.features_column != featurizer.output_column
        or (isinstance(scaling, Temperature) and scaling.probability_column != regression.probability_column)
        or not regression.probability_column
        or regression.class_count < 2
        or not regression.predicts_most_probable
    ):
        return None
    temperature = scaling.temperature if isinstance(scaling, Temperature) else 1.0
    margin = ink.margin if isinstance(ink, Ink) else None
    return FusedModel(margin, featurizer, regression.head(temperature, labels), labels)
