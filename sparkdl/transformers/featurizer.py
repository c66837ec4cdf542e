"""DeepImageFeaturizer: the features of a pre-trained network as a stage of a Spark ML pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL.Image import Resampling
from pyspark import SparkContext, keyword_only
from pyspark.ml import Transformer
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.images.schema import check_image_column, present_arrays
from sparkdl.networks.backbones import BACKBONES, backbone
from sparkdl.networks.builder import build_network
from sparkdl.networks.runtime import Network, extract_features, resize_to_input, to_vectors
from sparkdl.networks.spec import (
    SCALE_HINTS,
    NetworkSpec,
    check_color_mode,
    check_input_size,
    check_pooling,
    check_scale_hint,
)
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.persistence import NetworkReader, NetworkWriter, StoredNetwork


def _to_size(value: Any) -> list[int]:
    return check_input_size([value, value] if isinstance(value, int) else TypeConverters.toListInt(value), value)


def _to_model_name(value: Any) -> str:
    return backbone(TypeConverters.toString(value)).name


class DeepImageFeaturizer(
    Transformer, HasInputCol, HasOutputCol, StoredNetwork, MLReadable["DeepImageFeaturizer"], MLWritable
):
    """Applies a named network, pre-trained on ImageNet, to a column of images and adds a column of ML Vectors.

    The constructor and the setters are those of Deep Learning Pipelines (`sparkdl`); `inputSize`, `tapLayers`,
    `pooling`, `colorMode` and `weights` set what was fixed there. Their defaults are its behaviour: the network's
    native size, and its last layer before the classifier, flattened.

    Parameters
    ----------
    inputCol
        A column of Spark's image schema, as from `sparkdl.read_images`: gray, BGR, or BGRA, which is composited on
        white. Spark's own `spark.read.format("image")` has the same schema but other pixels than a stream; see
        `sparkdl.read_images`.
    outputCol
        The name of the column of dense Vectors to add.
    modelName
        InceptionV3, Xception, ResNet50, VGG16, VGG19, EfficientNetLite0 or InkNet. EfficientNetLite0 is installed with
        this package. InkNet has weights only after training (`training.fitting.inknet.trainer`). Keras downloads the
        weights of the others, and TensorFlow exports them at their first use (the extra `keras`).
    scaleHint
        How images are resized; see `sparkdl.networks.spec.SCALE_HINTS`.
    inputSize
        The size in pixels that images are resized to, N or [height, width]. Default: the network's own.
    tapLayers
        The layers whose outputs are the features, joined in this order. Default: [the last one].
    pooling
        `none`: every position of the layer; `average`: the mean over all; `NxN`, such as `3x3`: the means over a grid.
    colorMode
        `color` (default), or `grayscale`: the network gets one channel instead of three, which makes its first layer
        cheaper. For gray images, such as those of `InkNormalizer`, the features are the same; other images lose their
        colours.
    weights
        A file of weights for Keras or, for EfficientNetLite0, a PyTorch state dict. Default: the published ones.

    Notes
    -----
    The ONNX file is built at the first `transform` or save, kept in the user's cache directory, sent to the workers
    as a broadcast, and loaded once in each worker process. It is saved next to the stage's metadata, so a saved stage
    needs neither weights nor TensorFlow. A null or undefined image (mode -1) is an error: drop such rows first.

    Examples
    --------
    >>> from pyspark.ml import Pipeline, PipelineModel
    >>> from pyspark.ml.classification import LogisticRegression
    >>> from sparkdl import DeepImageFeaturizer, read_images
    >>> images = read_images(spark, temp_path + "/digits", label_from_folder=True, drop_invalid=True)
    >>> rows = images.selectExpr("image", "double(label) as label")
    >>> featurizer = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName="EfficientNetLite0")
    >>> featurizer = featurizer.setInputSize(64).setPooling("average")
    >>> model = Pipeline(stages=[featurizer, LogisticRegression(maxIter=20)]).fit(rows)
    >>> model.save(temp_path + "/model")
    >>> loaded = PipelineModel.load(temp_path + "/model")
    >>> loaded.stages[0].getPooling()
    'average'
    >>> loaded.transform(rows).select("label", "prediction").orderBy("label").first()
    Row(label=0.0, prediction=0.0)
    """

    __module__ = "sparkdl"  # the name in saved models, independent of the module's location

    modelName: Param[str] = Param(Params._dummy(), "modelName", "the name of the network", _to_model_name)
    scaleHint: Param[str] = Param(Params._dummy(), "scaleHint", "how images are resized", check_scale_hint)
    inputSize: Param[list[int]] = Param(Params._dummy(), "inputSize", "height and width fed, pixels", _to_size)
    tapLayers: Param[list[str]] = Param(
        Params._dummy(), "tapLayers", "the layers whose outputs are the features", TypeConverters.toListString
    )
    pooling: Param[str] = Param(Params._dummy(), "pooling", "none, average, or a grid such as 3x3", check_pooling)
    colorMode: Param[str] = Param(Params._dummy(), "colorMode", "color or grayscale", check_color_mode)
    weights: Param[str] = Param(Params._dummy(), "weights", "a file of weights", TypeConverters.toString)

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        modelName: str | None = None,
        scaleHint: str = "SCALE_AREA_AVERAGING",
        inputSize: int | list[int] | None = None,
        tapLayers: list[str] | None = None,
        pooling: str = "none",
        colorMode: str = "color",
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(scaleHint="SCALE_AREA_AVERAGING", pooling="none", colorMode="color")
        self._saved: tuple[NetworkSpec, bytes] | None = None  # the content of a loaded stage's file
        self.setParams(**cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        modelName: str | None = None,
        scaleHint: str | None = None,
        inputSize: int | list[int] | None = None,
        tapLayers: list[str] | None = None,
        pooling: str | None = None,
        colorMode: str | None = None,
        weights: str | None = None,
    ) -> DeepImageFeaturizer:
        """Set any of the constructor's arguments; None leaves a Param unchanged."""
        given: dict[str, Any] = self._input_kwargs  # type: ignore[attr-defined]
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def setInputCol(self, value: str) -> DeepImageFeaturizer:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> DeepImageFeaturizer:
        return self._set(outputCol=value)

    def setModelName(self, value: str) -> DeepImageFeaturizer:
        return self._set(modelName=value)

    def setScaleHint(self, value: str) -> DeepImageFeaturizer:
        return self._set(scaleHint=value)

    def setInputSize(self, value: int | list[int]) -> DeepImageFeaturizer:
        return self._set(inputSize=value)

    def setTapLayers(self, value: list[str]) -> DeepImageFeaturizer:
        return self._set(tapLayers=value)

    def setPooling(self, value: str) -> DeepImageFeaturizer:
        return self._set(pooling=value)

    def setColorMode(self, value: str) -> DeepImageFeaturizer:
        return self._set(colorMode=value)

    def setWeights(self, value: str) -> DeepImageFeaturizer:
        return self._set(weights=value)

    def getModelName(self) -> str:
        return self.getOrDefault(self.modelName)

    def getScaleHint(self) -> str:
        return self.getOrDefault(self.scaleHint)

    def getInputSize(self) -> list[int]:
        return self.getOrDefault(self.inputSize) if self.isDefined(self.inputSize) else list(self._native.input_size)

    def getTapLayers(self) -> list[str]:
        return self.getOrDefault(self.tapLayers) if self.isDefined(self.tapLayers) else [self._native.tap_layer]

    def getPooling(self) -> str:
        return self.getOrDefault(self.pooling)

    def getColorMode(self) -> str:
        return self.getOrDefault(self.colorMode)

    def getWeights(self) -> str | None:
        return self.getOrDefault(self.weights) if self.isDefined(self.weights) else None

    @property
    def _native(self) -> Any:
        return backbone(self.getModelName())

    def network_spec(self) -> NetworkSpec:
        """Return the description of the stage's network; raise a RequestError if `modelName` is not set."""
        if not self.isDefined(self.modelName):
            raise RequestError(f"DeepImageFeaturizer needs modelName, one of {', '.join(BACKBONES)}")
        return NetworkSpec.of(
            self.getModelName(),
            input_size=self.getInputSize(),
            tap_layers=self.getTapLayers(),
            pooling=self.getPooling(),
            weights=self.getWeights(),
            color_mode=self.getColorMode(),
        )

    def network_metadata(self) -> dict[str, Any]:
        """Return what a saved stage states of its network, besides its digest."""
        spec, network = self.network_spec(), backbone(self.getModelName())
        stated: dict[str, Any] = {"input_size": list(spec.input_size), "tap_layers": list(spec.tap_layers)}
        if network.is_imported:
            stated["backbone"] = {"input_size": list(network.input_size), "channels": network.channels}
        return stated

    def network(self) -> bytes:
        """Return the stage's ONNX file: the saved one if the Params have not changed since, otherwise a new one."""
        spec = self.network_spec()
        if self._saved is not None and self._saved[0] == spec:
            return self._saved[1]
        return build_network(spec)

    def broadcast_network(self, context: SparkContext) -> Network:
        """Return the stage's network as a broadcast for the workers."""
        content = self.network()
        digest = hashlib.sha256(content).hexdigest()
        return Network(digest, context.broadcast(content), self.network_spec().input_shape)

    def set_network(self, content: bytes) -> None:
        """Use an ONNX file that was built for the current Params, until they change."""
        self._saved = (self.network_spec(), content)

    def freeze(self) -> DeepImageFeaturizer:
        """Build the network now and clear `weights`, so that a saved stage does not refer to that file."""
        content = self.network()
        self.clear(self.weights)
        self.set_network(content)
        return self

    def quantize(self, images: Sequence[NDArray[np.uint8]]) -> DeepImageFeaturizer:
        """Freeze the stage with its network in 8-bit integers; see `sparkdl.networks.quantization`.

        Parameters
        ----------
        images
            A sample of at least a hundred inputs: uint8 [H, W, C] each, C = 1 (gray), 3 (BGR) or 4 (BGRA).
        """
        from sparkdl.networks.quantization import quantize

        self.freeze()
        spec, content = self.network_spec(), self.network()
        resample = SCALE_HINTS[self.getScaleHint()]
        self._saved = (
            spec,
            quantize(content, np.stack([resize_to_input(image, spec.input_shape, resample) for image in images])),
        )
        return self

    def _transform(self, dataset: DataFrame) -> DataFrame:
        if not self.isDefined(self.inputCol):
            raise RequestError("DeepImageFeaturizer needs inputCol")
        check_image_column(dataset.schema, self.getInputCol())
        network = self.broadcast_network(dataset.sparkSession.sparkContext)
        features = _featurize(F.col(self.getInputCol()), network, SCALE_HINTS[self.getScaleHint()])
        return dataset.withColumn(self.getOutputCol(), features)

    def write(self) -> MLWriter:
        return NetworkWriter(self)

    @classmethod
    def read(cls) -> MLReader[DeepImageFeaturizer]:
        return NetworkReader(cls)  # type: ignore[arg-type]


def _featurize(images: Column, network: Network, resample: Resampling) -> Column:
    def features(column: pa.Array) -> pa.Array:
        return to_vectors(extract_features(present_arrays(column), network, resample))

    return arrow_udf(features, VectorUDT())(images)
