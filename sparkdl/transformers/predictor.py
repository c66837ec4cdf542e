"""DeepImagePredictor: the ImageNet classes of images, as a stage of a Spark ML pipeline."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL.Image import Resampling
from pyspark import keyword_only
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, FloatType, StringType, StructField, StructType

from sparkdl.errors import RequestError
from sparkdl.images.schema import check_image_column, present_arrays
from sparkdl.networks.backbones import backbone
from sparkdl.networks.classifiers.imagenet_classes import imagenet_classes
from sparkdl.networks.classifiers.named import CLASSES, build_classifier, check_classifier
from sparkdl.networks.runtime import Network, extract_features, to_vectors
from sparkdl.networks.spec import SCALE_HINTS, check_scale_hint
from sparkdl.spark import arrow
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.network_stage import NetworkStage

DECODED_PREDICTIONS = ArrayType(
    StructType(
        [
            StructField("class", StringType(), True),
            StructField("description", StringType(), True),
            StructField("probability", FloatType(), True),
        ]
    ),
    True,
)
"""The output with `decodePredictions`: the most probable classes of an image, the most probable first."""


def _to_model_name(value: Any) -> str:
    return check_classifier(TypeConverters.toString(value)).name


def _to_top_k(value: Any) -> int:
    number = TypeConverters.toInt(value)
    if not 1 <= number <= CLASSES:
        raise RequestError(f"expected topK from 1 to {CLASSES}, received {value!r}")
    return number


class DeepImagePredictor(NetworkStage, HasInputCol, HasOutputCol):
    """Applies a named network with its ImageNet classifier to a column of images.

    Parameters
    ----------
    inputCol
        A column of Spark's image schema, as `sparkdl.read_images` gives it: gray, BGR, or BGRA, which is composited on
        white.
    outputCol
        The name of the column to add: dense Vectors of 1,000 probabilities, in the order of ImageNet's classes.
    modelName
        EfficientNetLite0, which is installed with this package, or InceptionV3, Xception, ResNet50, VGG16, VGG19, which
        are downloaded by Keras and exported with TensorFlow at their first use (the extra `keras`).
    decodePredictions
        Whether the column holds the most probable classes instead: `array<struct<class: string, description: string,
        probability: float>>`, the most probable first. `class` is the WordNet identifier, `description` the first word
        of its synset. Default False.
    topK
        How many classes, 1 to 1000, with `decodePredictions`. Default 5.
    scaleHint
        How images are resized, see `sparkdl.networks.spec.SCALE_HINTS`.
    weights
        A file of weights with those of the classifier. Default: the published ones.

    Notes
    -----
    The ONNX file is kept, sent to the workers and saved as that of `DeepImageFeaturizer`. A null or undefined image
    (mode -1) is an error: drop such rows first.

    Examples
    --------
    >>> from sparkdl import DeepImagePredictor, read_images
    >>> predictor = DeepImagePredictor(
    ...     inputCol="image", outputCol="predictions", modelName="EfficientNetLite0", decodePredictions=True, topK=3
    ... )
    >>> predictor.save(temp_path + "/predictor")
    >>> loaded = DeepImagePredictor.load(temp_path + "/predictor")
    >>> images = read_images(spark, temp_path + "/digits", drop_invalid=True)
    >>> best = loaded.transform(images).first().predictions
    >>> len(best), best[0].asDict().keys()
    (3, dict_keys(['class', 'description', 'probability']))
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    modelName: Param[str] = Param(Params._dummy(), "modelName", "the name of the network", _to_model_name)
    decodePredictions: Param[bool] = Param(
        Params._dummy(), "decodePredictions", "whether to give the most probable classes", TypeConverters.toBoolean
    )
    topK: Param[int] = Param(Params._dummy(), "topK", "how many classes, if predictions are decoded", _to_top_k)
    scaleHint: Param[str] = Param(Params._dummy(), "scaleHint", "how images are resized", check_scale_hint)
    weights: Param[str] = Param(Params._dummy(), "weights", "a file of weights", TypeConverters.toString)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        modelName: str | None = None,
        decodePredictions: bool = False,
        topK: int = 5,
        scaleHint: str = "SCALE_AREA_AVERAGING",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(decodePredictions=False, topK=5, scaleHint="SCALE_AREA_AVERAGING")
        self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        modelName: str | None = None,
        decodePredictions: bool | None = None,
        topK: int | None = None,
        scaleHint: str | None = None,
        weights: str | None = None,
    ) -> DeepImagePredictor:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        return self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    def setInputCol(self, value: str) -> DeepImagePredictor:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> DeepImagePredictor:
        return self._set(outputCol=value)

    def setModelName(self, value: str) -> DeepImagePredictor:
        return self._set(modelName=value)

    def setDecodePredictions(self, value: bool) -> DeepImagePredictor:
        return self._set(decodePredictions=value)

    def setTopK(self, value: int) -> DeepImagePredictor:
        return self._set(topK=value)

    def setScaleHint(self, value: str) -> DeepImagePredictor:
        return self._set(scaleHint=value)

    def setWeights(self, value: str) -> DeepImagePredictor:
        return self._set(weights=value)

    def getModelName(self) -> str:
        return self.getOrDefault(self.modelName)

    def getDecodePredictions(self) -> bool:
        return self.getOrDefault(self.decodePredictions)

    def getTopK(self) -> int:
        return self.getOrDefault(self.topK)

    def getScaleHint(self) -> str:
        return self.getOrDefault(self.scaleHint)

    def getWeights(self) -> str | None:
        return self.getOrDefault(self.weights) if self.isDefined(self.weights) else None

    def network_identity(self) -> tuple[Any, ...]:
        return self.value_of("modelName"), self.getWeights()

    def build_network(self) -> bytes:
        return build_classifier(self.getModelName(), self.getWeights())

    def _transform(self, dataset: DataFrame) -> DataFrame:
        column = self.value_of("inputCol")
        check_image_column(dataset.schema, column)
        file = self.broadcast_file(dataset.sparkSession.sparkContext)
        network = Network(file.digest, file.content, (*backbone(self.value_of("modelName")).input_size, 3))
        top = self.getTopK() if self.getDecodePredictions() else None
        predictions = _predict(F.col(column), network, SCALE_HINTS[self.getScaleHint()], top)
        return dataset.withColumn(self.getOutputCol(), predictions)


def _predict(images: Column, network: Network, resample: Resampling, top: int | None) -> Column:
    def predictions(column: pa.Array) -> pa.Array:
        probabilities = extract_features(present_arrays(column), network, resample)
        return to_vectors(probabilities) if top is None else decode_predictions(probabilities, top)

    return arrow_udf(predictions, VectorUDT() if top is None else DECODED_PREDICTIONS)(images)


def decode_predictions(probabilities: NDArray[np.float32], top: int) -> pa.ListArray:
    """Return the `top` most probable classes of N images, [N, 1000], as rows of `DECODED_PREDICTIONS`."""
    count = len(probabilities)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top] if count else np.empty((0, top), np.int64)
    classes = imagenet_classes()
    named = [classes[index] for index in order.ravel()]
    probability = np.take_along_axis(probabilities, order, 1).ravel() if count else np.empty(0)
    rows = pa.StructArray.from_arrays(
        [
            arrow.string_array([described.identifier for described in named]),
            arrow.string_array([described.description for described in named]),
            arrow.number_array(probability.astype(np.float32)),
        ],
        names=["class", "description", "probability"],
    )
    ends = arrow.number_array(np.arange(count + 1, dtype=np.int32) * np.int32(top))
    return pa.ListArray.from_arrays(ends, rows)
