"""KerasImageFileTransformer: a Keras model applied to image files that a column names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml.param.shared import HasInputCol, HasOutputCol
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.networks.foreign.onnx_files import inputs_of, parse_onnx
from sparkdl.networks.foreign.tensors import run_tensors, spread
from sparkdl.networks.keras_files.conversion import INPUT, OUTPUT
from sparkdl.networks.runtime import CHUNK, OnnxFile
from sparkdl.spark import arrow
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.image_columns import OUTPUT_MODES, Form, to_output
from sparkdl.transformers.image_loading import (
    HasImageLoader,
    ImageLoader,
    batches_of_one_shape,
    check_input_shape,
    load_images,
    present_rows,
)
from sparkdl.transformers.keras_params import HasOutputMode, KerasStage


class KerasImageFileTransformer(KerasStage, HasInputCol, HasOutputCol, HasImageLoader, HasOutputMode):
    """Applies a Keras model to the image files that a column of URIs names.

    Parameters
    ----------
    inputCol
        A column of strings: URIs, or paths that the workers can open.
    outputCol
        The name of the column to add; null for a file that is missing or cannot be decoded.
    modelFile
        A Keras model with one input and one output, `.keras` or `.h5`. Files with code in them (`Lambda`, custom
        layers) are refused, see `sparkdl.networks.keras_files.checks`.
    imageLoader
        A function from a URI to an array, [1, H, W, C] or [H, W, C], as the model takes it, with channels in RGB order.
        An OSError, such as a missing file, makes the row null; other errors end the job. It is never saved: set it
        again on a loaded stage. Default: the file is decoded as by `sparkdl.read_images` and resized to the model's
        input (bilinear), values 0..255.
    outputMode
        `vector` (default): the output, flattened, as a dense Vector; `image`: an image with float32 pixels.

    Notes
    -----
    TensorFlow converts the model to ONNX at the first `transform` or save, in a separate process (the extra `keras`);
    workers and saved stages do without it.

    Examples
    --------
    >>> from sparkdl import KerasImageFileTransformer
    >>> transformer = KerasImageFileTransformer(inputCol="uri", outputCol="predictions", modelFile="model.keras")
    >>> transformer.getOutputMode()
    'vector'
    >>> transformer.transform(uris).select("predictions").show()  # doctest: +SKIP
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        modelFile: str | None = None,
        imageLoader: ImageLoader | None = None,
        outputMode: str = "vector",
    ) -> None:
        super().__init__()
        self._setDefault(outputMode="vector")
        self._needs_loader = False  # of a loaded stage: whether it was saved with a loader
        self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        modelFile: str | None = None,
        imageLoader: ImageLoader | None = None,
        outputMode: str | None = None,
    ) -> KerasImageFileTransformer:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        return self.set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    def setInputCol(self, value: str) -> KerasImageFileTransformer:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> KerasImageFileTransformer:
        return self._set(outputCol=value)

    def network_metadata(self) -> dict[str, Any]:
        return {"needs_image_loader": self._needs_loader or self.getImageLoader() is not None}

    def check_metadata(self, metadata: Mapping[str, Any]) -> None:
        self._needs_loader = bool(metadata.get("needs_image_loader"))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        column, loader = self.value_of("inputCol"), self.getImageLoader()
        if column not in dataset.columns:
            raise RequestError(f"expected a column {column!r} of URIs, received columns {', '.join(dataset.columns)}")
        if loader is None and self._needs_loader:
            raise RequestError("KerasImageFileTransformer was saved with an imageLoader: set it again, it is not saved")
        shape = (inputs_of(parse_onnx(self.network()))[0].shape) or ()
        if loader is None:
            check_input_shape(shape, "KerasImageFileTransformer")
        file = self.broadcast_file(dataset.sparkSession.sparkContext)
        outputs = _apply(F.col(column), file, loader, shape, self.getOutputMode())
        return dataset.withColumn(self.getOutputCol(), outputs)


def _apply(
    uris: Column, file: OnnxFile, loader: ImageLoader | None, shape: tuple[int | None, ...], mode: str
) -> Column:
    def outputs(column: pa.Array) -> pa.Array:
        images = load_images(column.to_pylist(), loader, shape)
        present = [image for image in images if image is not None]
        parts = [
            run_tensors(file, {INPUT: batch}, [OUTPUT], CHUNK)[0] for batch in batches_of_one_shape(present, CHUNK)
        ]
        values = np.concatenate(parts) if parts else np.empty((0, 0, 0, 0), np.float32)
        there = present_rows(images)
        origins = column.filter(arrow.bool_array(there)).cast(pa.string())
        return spread(to_output(values, Form(mode), origins), there)

    return arrow_udf(outputs, OUTPUT_MODES[mode])(uris)
