"""OnnxImageTransformer: an ONNX network applied to a column of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pyarrow as pa
from PIL.Image import Resampling
from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError, unknown
from sparkdl.images.schema import check_image_column, present_arrays
from sparkdl.networks.foreign.image_graph import CHANNEL_ORDERS, LAYOUTS, ImageInput, compose_image_network, layout_of
from sparkdl.networks.foreign.onnx_files import inputs_of, parse_onnx, read_onnx
from sparkdl.networks.runtime import Network, extract_features
from sparkdl.networks.spec import SCALE_HINTS, check_input_size, check_scale_hint
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.image_columns import OUTPUT_MODES, Form, to_output
from sparkdl.transformers.keras_params import HasOutputMode, to_path
from sparkdl.transformers.network_stage import NetworkStage


def _to_order(value: Any) -> str:
    if value not in CHANNEL_ORDERS:
        raise unknown("channelOrder", str(value), CHANNEL_ORDERS)
    return str(value)


def _to_layout(value: Any) -> str:
    if value not in LAYOUTS:
        raise unknown("layout", str(value), LAYOUTS)
    return str(value)


def _to_size(value: Any) -> list[int]:
    return check_input_size([value, value] if isinstance(value, int) else TypeConverters.toListInt(value), value)


def _to_numbers(value: Any) -> list[float]:
    numbers = [float(value)] if isinstance(value, int | float) else TypeConverters.toListFloat(value)
    if len(numbers) not in (1, 3):
        raise RequestError(f"expected one number, or one a channel, received {value!r}")
    return numbers


class OnnxImageTransformer(NetworkStage, HasInputCol, HasOutputCol, HasOutputMode):
    """Applies an ONNX network to a column of images.

    It has the role of `TFImageTransformer` of Deep Learning Pipelines, whose graphs were those of TensorFlow 1.

    Parameters
    ----------
    model
        An ONNX file with one input: a batch of images, [N, C, H, W] or [N, H, W, C].
    channelOrder
        The order of the channels that the network takes: RGB (default), BGR, or L for one channel, gray.
    inputCol
        A column of Spark's image schema, as `sparkdl.read_images` gives it.
    outputCol
        The name of the column to add.
    size
        What images are resized to, pixels: N or [height, width]. Default: the size that the network states.
    mean, scale
        The network takes `(x - mean) * scale`, x in 0..255: a number, or one a channel in the order of `channelOrder`.
        Default 0 and 1.
    inputTensor, outputTensor
        Names of the tensors to use, where the network has several outputs.
    outputMode
        `vector` (default): the output, flattened, as a dense Vector; `image`: the output, in the layout and order of
        the input, as an image with float32 pixels in BGR order.
    layout
        NCHW or NHWC, where the network does not state the number of channels.
    scaleHint
        How images are resized, see `sparkdl.networks.spec.SCALE_HINTS`.

    Notes
    -----
    The network is checked (`sparkdl.networks.validation`) and joined with its preprocessing at the first `transform` or
    save, and saved beside the stage's metadata: a saved stage does not need the file. A null or undefined image is an
    error: drop such rows first.

    Examples
    --------
    >>> from pathlib import Path
    >>> import onnx.parser
    >>> from sparkdl import OnnxImageTransformer, read_images
    >>> network = onnx.parser.parse_model(
    ...     '<ir_version: 8, opset_import: ["": 18]> means (float[N, 3, 32, 32] x) => (float[N, 3, 1, 1] y)'
    ...     " { y = GlobalAveragePool(x) }"
    ... )
    >>> _ = Path(temp_path + "/network.onnx").write_bytes(network.SerializeToString())
    >>> transformer = OnnxImageTransformer(
    ...     inputCol="image", outputCol="means", model=temp_path + "/network.onnx", mean=127.5, scale=1 / 127.5
    ... )
    >>> transformer.save(temp_path + "/transformer")
    >>> loaded = OnnxImageTransformer.load(temp_path + "/transformer")
    >>> images = read_images(spark, temp_path + "/digits", drop_invalid=True)
    >>> len(loaded.transform(images).first().means)
    3
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    model: Param[str] = Param(Params._dummy(), "model", "an ONNX file", to_path)
    channelOrder: Param[str] = Param(Params._dummy(), "channelOrder", "RGB, BGR or L", _to_order)
    size: Param[list[int]] = Param(Params._dummy(), "size", "height and width fed, pixels", _to_size)
    mean: Param[list[float]] = Param(Params._dummy(), "mean", "what is subtracted from pixels", _to_numbers)
    scale: Param[list[float]] = Param(Params._dummy(), "scale", "what pixels are then multiplied by", _to_numbers)
    inputTensor: Param[str] = Param(Params._dummy(), "inputTensor", "the input's name", TypeConverters.toString)
    outputTensor: Param[str] = Param(Params._dummy(), "outputTensor", "the output's name", TypeConverters.toString)
    layout: Param[str] = Param(Params._dummy(), "layout", "NCHW or NHWC", _to_layout)
    scaleHint: Param[str] = Param(Params._dummy(), "scaleHint", "how images are resized", check_scale_hint)

    @keyword_only
    def __init__(
        self,
        *,
        channelOrder: str = "RGB",
        inputCol: str | None = None,
        outputCol: str | None = None,
        model: str | None = None,
        size: int | Sequence[int] | None = None,
        mean: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 1.0,
        inputTensor: str | None = None,
        outputTensor: str | None = None,
        outputMode: str = "vector",
        layout: str | None = None,
        scaleHint: str = "SCALE_AREA_AVERAGING",
    ) -> None:
        super().__init__()
        self._setDefault(
            channelOrder="RGB", mean=[0.0], scale=[1.0], outputMode="vector", scaleHint="SCALE_AREA_AVERAGING"
        )
        self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        channelOrder: str | None = None,
        inputCol: str | None = None,
        outputCol: str | None = None,
        model: str | None = None,
        size: int | Sequence[int] | None = None,
        mean: float | Sequence[float] | None = None,
        scale: float | Sequence[float] | None = None,
        inputTensor: str | None = None,
        outputTensor: str | None = None,
        outputMode: str | None = None,
        layout: str | None = None,
        scaleHint: str | None = None,
    ) -> OnnxImageTransformer:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        return self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    def setInputCol(self, value: str) -> OnnxImageTransformer:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> OnnxImageTransformer:
        return self._set(outputCol=value)

    def setModel(self, value: str) -> OnnxImageTransformer:
        return self._set(model=value)

    def setChannelOrder(self, value: str) -> OnnxImageTransformer:
        return self._set(channelOrder=value)

    def setSize(self, value: int | list[int]) -> OnnxImageTransformer:
        return self._set(size=value)

    def setMean(self, value: float | list[float]) -> OnnxImageTransformer:
        return self._set(mean=value)

    def setScale(self, value: float | list[float]) -> OnnxImageTransformer:
        return self._set(scale=value)

    def setInputTensor(self, value: str) -> OnnxImageTransformer:
        return self._set(inputTensor=value)

    def setOutputTensor(self, value: str) -> OnnxImageTransformer:
        return self._set(outputTensor=value)

    def setLayout(self, value: str) -> OnnxImageTransformer:
        return self._set(layout=value)

    def setScaleHint(self, value: str) -> OnnxImageTransformer:
        return self._set(scaleHint=value)

    def getModel(self) -> str:
        return self.getOrDefault(self.model)

    def getChannelOrder(self) -> str:
        return self.getOrDefault(self.channelOrder)

    def getMean(self) -> list[float]:
        return self.getOrDefault(self.mean)

    def getScale(self) -> list[float]:
        return self.getOrDefault(self.scale)

    def getScaleHint(self) -> str:
        return self.getOrDefault(self.scaleHint)

    def _optional(self, name: str) -> Any:
        return self.getOrDefault(name) if self.isDefined(name) else None

    def network_identity(self) -> tuple[Any, ...]:
        names = ("size", "mean", "scale", "inputTensor", "outputTensor", "layout")
        return (self.value_of("model"), self.getChannelOrder(), *(repr(self._optional(name)) for name in names))

    def build_network(self) -> bytes:
        file, size = self.value_of("model"), self._optional("size")
        given = ImageInput(
            self.getChannelOrder(),
            None if size is None else (size[0], size[1]),
            tuple(self.getMean()),
            tuple(self.getScale()),
            self._optional("layout"),
        )
        return compose_image_network(
            read_onnx(file), file, given, self._optional("inputTensor"), self._optional("outputTensor")
        )

    def _transform(self, dataset: DataFrame) -> DataFrame:
        column = self.value_of("inputCol")
        check_image_column(dataset.schema, column)
        composed = parse_onnx(self.network())
        shape = inputs_of(composed)[0].shape or ()
        height, width, channels = (int(side or 0) for side in shape[1:])
        file = self.broadcast_file(dataset.sparkSession.sparkContext)
        network = Network(file.digest, file.content, (height, width, channels))
        form = Form(
            self.getOutputMode(), channels_first=layout_of(composed) == "NCHW", rgb=self.getChannelOrder() == "RGB"
        )
        outputs = _apply(F.col(column), network, SCALE_HINTS[self.getScaleHint()], form)
        return dataset.withColumn(self.getOutputCol(), outputs)


def _apply(images: Column, network: Network, resample: Resampling, form: Form) -> Column:
    def outputs(column: pa.Array) -> pa.Array:
        values = extract_features(present_arrays(column), network, resample)
        return to_output(values, form, column.field("origin").cast(pa.string()))

    return arrow_udf(outputs, OUTPUT_MODES[form.mode])(images)
