"""ImportedClassifier: an image classifier from an ONNX or Keras file as a stage of a Spark ML pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params
from pyspark.ml.param.shared import HasInputCol, HasPredictionCol, HasProbabilityCol
from pyspark.ml.util import MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.images.schema import check_image_column, present_arrays
from sparkdl.networks.imported import settings as checks
from sparkdl.networks.imported.activation import activate
from sparkdl.networks.imported.settings import ImportedSettings
from sparkdl.networks.runtime import Network, extract_features, resize_to_input, to_vectors
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.persistence import NetworkReader, NetworkWriter, StoredNetwork


class ImportedClassifier(
    Transformer,
    HasInputCol,
    HasProbabilityCol,
    HasPredictionCol,
    StoredNetwork,
    MLReadable["ImportedClassifier"],
    MLWritable,
):
    """Applies a classifier that was imported to a column of images: probabilities, and the most probable class.

    `sparkdl models import` makes one; `sparkdl.models.importing` does so in Python.

    Parameters
    ----------
    inputCol
        A column of Spark's image schema: gray, BGR, or BGRA, which is composited on white. Default "image".
    probabilityCol
        The name of the column of dense Vectors [K] to add, values 0..1. Default "probability".
    predictionCol
        The name of the column of the most probable class's index, double, to add. Default "prediction".
    inputShape
        Height, width and channels (1, gray, or 3) of the images that the network takes.
    classCount
        K, the values of the network's output.
    resizeTo
        [] resizes images to the input size; [N] their shorter side to N pixels, [H, W] to that size, and then cuts the
        centre out.
    resample
        The filter for it, by Pillow's name: BILINEAR by default.
    activation
        `softmax`, `sigmoid`, or `none` if the network's output is probabilities.
    labelThreshold
        If an image can have several classes: the probability from which on it has one.
    batchSize
        Images per call of the network, 1 to 1024. Default 8.

    Notes
    -----
    The network is set by `set_network`, and saved beside the stage's metadata.

    Examples
    --------
    A network whose three outputs are the averages of the channels:

    >>> from sparkdl import ImportedClassifier, read_images
    >>> from sparkdl.networks.graph_builder import GraphBuilder, byte_tensor, float_tensor
    >>> graph = GraphBuilder()
    >>> pixels = graph.node("Cast", ["image"], "pixels", to=1)
    >>> means = graph.node("ReduceMean", [pixels, graph.constant("axes", [1, 2])], "features", keepdims=0)
    >>> network = graph.model("means", [byte_tensor("image", ["N", 8, 8, 3])], [float_tensor(means, ["N", 3])])
    >>> classifier = ImportedClassifier(inputShape=[8, 8, 3], classCount=3)
    >>> classifier.set_network(network.SerializeToString())
    >>> classifier.save(temp_path + "/classifier")
    >>> loaded = ImportedClassifier.load(temp_path + "/classifier")
    >>> len(loaded.transform(read_images(spark, temp_path + "/digits")).first().probability)
    3
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    inputShape: Param[list[int]] = Param(
        Params._dummy(), "inputShape", "height, width and channels", lambda value: checks.check_shape(value)
    )
    classCount: Param[int] = Param(Params._dummy(), "classCount", "number of classes", checks.check_count)
    resizeTo: Param[list[int]] = Param(
        Params._dummy(), "resizeTo", "size before the crop", lambda value: checks.check_sizes(value)
    )
    resample: Param[str] = Param(Params._dummy(), "resample", "filter for resizing", checks.check_resample)
    activation: Param[str] = Param(Params._dummy(), "activation", "of the output", checks.check_activation)
    labelThreshold: Param[float] = Param(
        Params._dummy(), "labelThreshold", "probability from which on an image has a class", checks.check_threshold
    )
    batchSize: Param[int] = Param(Params._dummy(), "batchSize", "images per call", checks.check_batch_size)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str = "image",
        probabilityCol: str = "probability",
        predictionCol: str = "prediction",
        inputShape: list[int] | None = None,
        classCount: int | None = None,
        resizeTo: list[int] | None = None,
        resample: str = "BILINEAR",
        activation: str = "softmax",
        labelThreshold: float | None = None,
        batchSize: int = 8,
    ) -> None:
        super().__init__()
        self._setDefault(
            inputCol="image", resizeTo=[], resample="BILINEAR", activation="softmax", batchSize=8
        )  # the columns' defaults are Spark ML's
        self._content: bytes | None = None
        self.setParams(**cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        probabilityCol: str | None = None,
        predictionCol: str | None = None,
        inputShape: list[int] | None = None,
        classCount: int | None = None,
        resizeTo: list[int] | None = None,
        resample: str | None = None,
        activation: str | None = None,
        labelThreshold: float | None = None,
        batchSize: int | None = None,
    ) -> ImportedClassifier:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        given: dict[str, Any] = self._input_kwargs  # type: ignore[attr-defined]
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def setInputCol(self, value: str) -> ImportedClassifier:
        return self._set(inputCol=value)

    def setProbabilityCol(self, value: str) -> ImportedClassifier:
        return self._set(probabilityCol=value)

    def setPredictionCol(self, value: str) -> ImportedClassifier:
        return self._set(predictionCol=value)

    def setBatchSize(self, value: int) -> ImportedClassifier:
        return self._set(batchSize=value)

    def setLabelThreshold(self, value: float) -> ImportedClassifier:
        return self._set(labelThreshold=value)

    def getActivation(self) -> str:
        return self.getOrDefault(self.activation)

    def getBatchSize(self) -> int:
        return self.getOrDefault(self.batchSize)

    def getLabelThreshold(self) -> float | None:
        return self.getOrDefault(self.labelThreshold) if self.isDefined(self.labelThreshold) else None

    def settings(self) -> ImportedSettings:
        """Return the stage's settings; a RequestError if `inputShape` or `classCount` is not set."""
        for param in (self.inputShape, self.classCount):
            if not self.isDefined(param):
                raise RequestError(f"ImportedClassifier needs {param.name}")
        return ImportedSettings.from_params({param.name: value for param, value in self.extractParamMap().items()})

    def network(self) -> bytes:
        """Return the stage's ONNX file; a RequestError if none was set."""
        if self._content is None:
            raise RequestError("ImportedClassifier has no network: load one, or make one with sparkdl models import")
        return self._content

    def network_metadata(self) -> dict[str, Any]:
        return {"input_size": list(self.settings().input_shape[:2])}

    def set_network(self, content: bytes) -> None:
        """Use an ONNX file that takes `image`, uint8 [N, H, W, 1 or 3], gray or BGR, and gives `features` [N, K]."""
        self._content = content

    def quantize(self, images: Sequence[NDArray[np.uint8]]) -> ImportedClassifier:
        """Turn the network into 8-bit integers, see `sparkdl.networks.quantization`.

        Parameters
        ----------
        images
            A sample of the stage's input: uint8 [H, W, C] each, C = 1 (gray), 3 (BGR) or 4 (BGRA); a hundred or more.
        """
        from sparkdl.networks.quantization import quantize

        chosen = self.settings()
        resized = [resize_to_input(image, chosen.input_shape, chosen.resample, chosen.framing) for image in images]
        self.set_network(quantize(self.network(), np.stack(resized), batch_size=chosen.batch_size))
        return self

    def _transform(self, dataset: DataFrame) -> DataFrame:
        check_image_column(dataset.schema, self.getInputCol())
        content, chosen = self.network(), self.settings()
        shared = dataset.sparkSession.sparkContext.broadcast(content)
        digest = hashlib.sha256(content).hexdigest()
        network = Network(digest, shared, chosen.input_shape, chosen.framing, chosen.batch_size)
        vector = _classify(F.col(self.getInputCol()), network, chosen)
        values = vector_to_array(F.col(self.getProbabilityCol()))
        index = F.array_position(values, F.array_max(values)) - 1
        return dataset.withColumn(self.getProbabilityCol(), vector).withColumn(
            self.getPredictionCol(), index.cast("double")
        )

    def write(self) -> MLWriter:
        return NetworkWriter(self)

    @classmethod
    def read(cls) -> MLReader[ImportedClassifier]:
        return NetworkReader(cls)  # type: ignore[arg-type]


def _classify(images: Column, network: Network, chosen: ImportedSettings) -> Column:
    def probabilities(column: pa.Array) -> pa.Array:
        features = extract_features(present_arrays(column), network, chosen.resample)
        return to_vectors(activate(features, chosen.activation))

    return arrow_udf(probabilities, VectorUDT())(images)
