"""DeepImageFeaturizer: the features of a pre-trained network as a stage of a Spark ML pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL.Image import Resampling
from py4j.protocol import Py4JError
from pyspark import SparkContext, keyword_only
from pyspark.errors import PySparkException
from pyspark.ml import Transformer
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError, SparkdlError, unknown
from sparkdl.images.schema import check_image_column, struct_to_arrays
from sparkdl.networks.backbones import BACKBONES, backbone
from sparkdl.networks.builder import NetworkSpec, build_network
from sparkdl.networks.pooling import grid_of
from sparkdl.networks.runtime import Network, extract_features, fit, to_vectors
from sparkdl.networks.validation import MOST_BYTES, check_network
from sparkdl.spark.udf import arrow_udf

SCALE_HINTS = {
    "SCALE_AREA_AVERAGING": Resampling.BOX,
    "SCALE_DEFAULT": Resampling.BILINEAR,
    "SCALE_FAST": Resampling.NEAREST,
    "SCALE_REPLICATE": Resampling.NEAREST,
    "SCALE_SMOOTH": Resampling.BICUBIC,
}
"""The resize hints of Deep Learning Pipelines, named after java.awt.Image, and the filter that each means here."""

COLOR_MODES = ("color", "grayscale")

NETWORK_FILE = "network.onnx"
"""The file of a saved stage that holds its network."""


def _to_size(value: Any) -> list[int]:
    size = [value, value] if isinstance(value, int) else TypeConverters.toListInt(value)
    if len(size) != 2 or min(size) < 1:
        raise RequestError(f"expected inputSize as pixels, N or [height, width], received {value!r}")
    return size


def _to_model_name(value: Any) -> str:
    return backbone(TypeConverters.toString(value)).name


def _to_scale_hint(value: Any) -> str:
    if value not in SCALE_HINTS:
        raise unknown("scaleHint", str(value), SCALE_HINTS)
    return str(value)


def _to_color_mode(value: Any) -> str:
    if value not in COLOR_MODES:
        raise unknown("colorMode", str(value), COLOR_MODES)
    return str(value)


def _to_pooling(value: Any) -> str:
    grid_of(str(value))
    return str(value)


class DeepImageFeaturizer(Transformer, HasInputCol, HasOutputCol, MLReadable["DeepImageFeaturizer"], MLWritable):
    """Applies a named network, pre-trained on ImageNet, to a column of images and gives a column of ML Vectors.

    The constructor and the setters are those of Deep Learning Pipelines (`sparkdl`); `inputSize`, `tapLayers`,
    `pooling`, `colorMode` and `weights` set what was fixed there, and by default do as it did: the network's native
    size, its last layer before the classifier, flattened.

    Parameters
    ----------
    inputCol
        A column of Spark's image schema, as `spark.read.format("image")` gives it.
    outputCol
        The name of the column of dense Vectors to add.
    modelName
        InceptionV3, Xception, ResNet50, VGG16, VGG19, EfficientNetLite0 or InkNet. EfficientNetLite0 is installed with
        this package; InkNet has weights only where it was trained (`training.fitting.inknet.trainer`); the others are
        downloaded by Keras and exported with TensorFlow at their first use (the extra `keras`).
    scaleHint
        How images are resized, see `SCALE_HINTS`.
    inputSize
        What images are resized to before the network, pixels: N or [height, width]. Default: the network's own.
    tapLayers
        The layers whose outputs are the features, joined in this order. Default: [the last one].
    pooling
        `none`: every position of the layer; `average`: the mean over all; `NxN`, such as `3x3`: the means over a grid.
    colorMode
        `color` (default), or `grayscale`: the network gets one channel instead of three, which makes its first layer
        cheaper. For gray images, as `InkNormalizer` gives them, the features are the same; of others the colours are
        lost.
    weights
        A file of weights for Keras or, for EfficientNetLite0, a PyTorch state dict. Default: the published ones.

    Notes
    -----
    The ONNX file is made at the first `transform` or save, kept in the user's cache directory, sent to the workers
    as a broadcast, loaded once in each worker process, and saved beside the stage's metadata: a saved stage needs
    neither weights nor TensorFlow. A null or undefined image (mode -1) is an error: drop such rows first.

    Examples
    --------
    >>> from sparkdl import DeepImageFeaturizer
    >>> featurizer = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName="EfficientNetLite0")
    >>> featurizer.setPooling("average").getPooling()
    'average'
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    modelName: Param[str] = Param(Params._dummy(), "modelName", "the name of the network", _to_model_name)
    scaleHint: Param[str] = Param(Params._dummy(), "scaleHint", "how images are resized", _to_scale_hint)
    inputSize: Param[list[int]] = Param(Params._dummy(), "inputSize", "height and width fed, pixels", _to_size)
    tapLayers: Param[list[str]] = Param(
        Params._dummy(), "tapLayers", "the layers whose outputs are the features", TypeConverters.toListString
    )
    pooling: Param[str] = Param(Params._dummy(), "pooling", "none, average, or a grid such as 3x3", _to_pooling)
    colorMode: Param[str] = Param(Params._dummy(), "colorMode", "color or grayscale", _to_color_mode)
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
        self._saved: tuple[NetworkSpec, bytes] | None = None  # of a loaded stage: what its file holds
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
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
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
        """What this stage's network computes; a RequestError if `modelName` is not set."""
        if not self.isDefined(self.modelName):
            raise RequestError(f"DeepImageFeaturizer needs modelName, one of {', '.join(BACKBONES)}")
        height, width = self.getInputSize()
        return NetworkSpec(
            self.getModelName(),
            (height, width),
            tuple(self.getTapLayers()),
            self.getPooling(),
            self.getWeights(),
            self.getColorMode() == "grayscale",
        )

    def network(self) -> bytes:
        """The stage's ONNX file: the one it was saved with, as long as its Params are those it was saved with."""
        spec = self.network_spec()
        if self._saved is not None and self._saved[0] == spec:
            return self._saved[1]
        return build_network(spec)

    def shipped(self, context: SparkContext) -> Network:
        """The stage's network, on its way to the workers."""
        content = self.network()
        digest = hashlib.sha256(content).hexdigest()
        return Network(digest, context.broadcast(content), self.network_spec().input_shape)

    def freeze(self) -> DeepImageFeaturizer:
        """Makes the network now and forgets the file of its weights, which a saved stage then does not name."""
        content = self.network()
        self.clear(self.weights)
        self._saved = (self.network_spec(), content)
        return self

    def quantize(self, images: Sequence[NDArray[np.uint8]]) -> DeepImageFeaturizer:
        """Freezes the stage with its network in 8-bit integers, see `sparkdl.networks.quantization`.

        Parameters
        ----------
        images
            What the stage will see: uint8 [H, W, C] each, C = 1 (gray), 3 (BGR) or 4 (BGRA); a hundred or more.
        """
        from sparkdl.networks.quantization import quantize

        self.freeze()
        spec, content = self.network_spec(), self.network()
        resample = SCALE_HINTS[self.getScaleHint()]
        self._saved = (spec, quantize(content, np.stack([fit(image, spec.input_shape, resample) for image in images])))
        return self

    def _transform(self, dataset: DataFrame) -> DataFrame:
        if not self.isDefined(self.inputCol):
            raise RequestError("DeepImageFeaturizer needs inputCol")
        check_image_column(dataset.schema, self.getInputCol())
        shipped = self.shipped(dataset.sparkSession.sparkContext)
        features = _featurize(F.col(self.getInputCol()), shipped, SCALE_HINTS[self.getScaleHint()])
        return dataset.withColumn(self.getOutputCol(), features)

    def write(self) -> MLWriter:
        return _FeaturizerWriter(self)

    @classmethod
    def read(cls) -> MLReader[DeepImageFeaturizer]:
        return _FeaturizerReader(cls)  # type: ignore[arg-type]


def _featurize(images: Column, network: Network, resample: Resampling) -> Column:
    def features(column: pa.Array) -> pa.Array:
        arrays = []
        for row, array in enumerate(struct_to_arrays(column)):
            if array is None:
                origin = column.field("origin")[row].as_py()
                raise SparkdlError(f"image {origin!r} is null or undefined (mode -1); drop such rows before this stage")
            arrays.append(array)
        return to_vectors(extract_features(arrays, network, resample))

    return arrow_udf(features, VectorUDT())(images)


class _FeaturizerWriter(DefaultParamsWriter):
    """Saves the metadata as every stage does, and the ONNX file beside it."""

    def saveImpl(self, path: str) -> None:
        stage = cast("DeepImageFeaturizer", self.instance)
        spec, content = stage.network_spec(), stage.network()
        network = {
            "file": NETWORK_FILE,
            "sha256": hashlib.sha256(content).hexdigest(),
            "input_size": list(spec.input_size),
            "tap_layers": list(spec.tap_layers),
        }
        DefaultParamsWriter.saveMetadata(self.instance, path, self.sparkSession, {"network": network})
        _write_bytes(self.sparkSession, f"{path}/{NETWORK_FILE}", content)


class _FeaturizerReader(DefaultParamsReader[DeepImageFeaturizer]):
    def load(self, path: str) -> DeepImageFeaturizer:
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession, "sparkdl.DeepImageFeaturizer")
        file = f"{path}/{NETWORK_FILE}"
        return restore(metadata, _read_bytes(self.sparkSession, file), file)


def restore(metadata: Mapping[str, Any], content: bytes, file: str) -> DeepImageFeaturizer:
    """A stage out of what was saved of it.

    Raises
    ------
    SparkdlError
        Naming `file`, if `content` is not the network that `metadata` states, or `check_network` refuses it.
    """
    stage = DeepImageFeaturizer()
    stage._resetUid(metadata["uid"])
    DefaultParamsReader.getAndSetParams(stage, dict(metadata))
    digest = hashlib.sha256(content).hexdigest()
    if digest != metadata["network"]["sha256"]:
        raise SparkdlError(f"{file}: expected SHA-256 {metadata['network']['sha256']}, received {digest}")
    check_network(content, file)
    stage._saved = (stage.network_spec(), content)
    return stage


def _write_bytes(spark: SparkSession, path: str, content: bytes) -> None:
    """Writes one file through Hadoop's file systems, so that a stage saves wherever Spark saves."""
    jvm: Any = spark.sparkContext._jvm
    target = jvm.org.apache.hadoop.fs.Path(path)
    system = target.getFileSystem(spark._jsc.hadoopConfiguration())
    stream = system.create(target, True)
    try:
        stream.write(content)
    finally:
        stream.close()


def _read_bytes(spark: SparkSession, path: str) -> bytes:
    try:
        files = spark.read.format("binaryFile").load(path)
        rows = files.where(F.col("length") <= MOST_BYTES).select("content").collect()
    except (PySparkException, Py4JError) as error:
        raise SparkdlError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not rows:
        raise SparkdlError(f"{path}: expected at most {MOST_BYTES} bytes, received more")
    return bytes(rows[0].content)
