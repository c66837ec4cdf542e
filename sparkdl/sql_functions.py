"""Models as functions of Spark SQL: `SELECT classify(content) FROM images`, also in a streaming query."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType

from sparkdl.errors import RequestError
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits
from sparkdl.images.schema import struct_to_arrays
from sparkdl.inference.classifier import Classifier, FusedClassifier
from sparkdl.inference.fused_worker import PREDICTION_TYPE
from sparkdl.networks.foreign.onnx_files import inputs_of, parse_onnx
from sparkdl.networks.foreign.tensors import run_tensors, spread, to_column
from sparkdl.networks.keras_files.conversion import INPUT, OUTPUT, convert_keras
from sparkdl.networks.runtime import CHUNK, OnnxFile
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.image_loading import (
    batches_of_one_shape,
    check_input_shape,
    decode_to_input,
    present_rows,
    to_input,
)

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel

Preprocessor = Callable[[str], NDArray[Any]]
"""A function from the path of a PNG file to an image, [1, H, W, C] or [H, W, C], as a Keras model takes it."""


def register_image_function(
    spark: SparkSession, name: str, model: str | PipelineModel | Classifier, limits: Limits = DEFAULT_LIMITS
) -> Callable[..., Any]:
    """Register a classifier as an SQL function of a column of encoded images.

    Parameters
    ----------
    spark
        The session that knows the function.
    name
        The name in SQL; a function of that name is replaced.
    model
        A registry, a version, a saved `PipelineModel`, or `imagenet`, as of `sparkdl predict --model`; or a fitted
        `PipelineModel` or a `Classifier`. Its stages must be those of a recipe.
    limits
        What one image may cost.

    Returns
    -------
    The function, for columns of DataFrames. It gives a struct `prediction string, confidence double, probabilities
    map<string,double>, reason string, detail string`: the first three, or `reason` with `detail` for an image that is
    rejected (`sparkdl.images.rejection.MEANINGS`) or null.

    Raises
    ------
    RequestError
        If there is no such model, or its stages cannot be fused into one function.

    Notes
    -----
    The model that is registered stays the function's model: register it again after a promotion.

    Examples
    --------
    >>> from sparkdl import register_image_function
    >>> classify = register_image_function(spark, "classify", "imagenet")
    >>> spark.read.format("binaryFile").load(temp_path + "/digits/*").createOrReplaceTempView("images")
    >>> spark.sql("SELECT classify(content) AS c FROM images WHERE classify(content).reason IS NOT NULL").count()
    0
    """
    classifier = _classifier(model)
    if not isinstance(classifier, FusedClassifier):
        raise RequestError(f"{name}: expected a model with the stages of a recipe, received one that cannot be fused")
    inference = classifier.model.inference(spark.sparkContext, limits)

    def classify(payloads: pa.Array) -> pa.Array:
        return inference.predict(payloads, None)

    return _register(spark, name, classify, PREDICTION_TYPE)


def registerKerasImageUDF(
    udf_name: str, keras_model_or_file_path: Any, preprocessor: Preprocessor | None = None
) -> Callable[..., Any]:
    """Register a Keras model as an SQL function of a column of images, in the active session.

    Parameters
    ----------
    udf_name
        The name in SQL; a function of that name is replaced.
    keras_model_or_file_path
        A Keras model with one input and one output: an object, or a file, `.keras` or `.h5`. Files with code in them
        are refused, see `sparkdl.networks.keras_files.checks`.
    preprocessor
        A function from the path of an image file to an array, [1, H, W, C] or [H, W, C], as the model takes it. Each
        image is written to a PNG file for it, which costs time. Default: the image is resized to the model's input
        (bilinear); RGB, values 0..255.

    Returns
    -------
    The function, for columns of DataFrames. It takes images of Spark's schema, or encoded images (binary), and gives
    `array<float>`: the model's output, flattened; null for an image that is null, undefined or cannot be decoded.

    Examples
    --------
    >>> from sparkdl import registerKerasImageUDF
    >>> registerKerasImageUDF("score", "model.keras")  # doctest: +SKIP
    >>> spark.sql("SELECT score(image) FROM images").show()  # doctest: +SKIP
    """
    spark = SparkSession.getActiveSession()
    if spark is None:
        raise RequestError("registerKerasImageUDF needs a Spark session: start one first")
    content = _keras_network(keras_model_or_file_path)
    shape = inputs_of(parse_onnx(content))[0].shape or ()
    if preprocessor is None:
        check_input_shape(shape, udf_name)
    file = OnnxFile(hashlib.sha256(content).hexdigest(), spark.sparkContext.broadcast(content))

    def apply(images: pa.Array) -> pa.Array:
        return _apply(images, file, shape, preprocessor)

    return _register(spark, udf_name, apply, ArrayType(FloatType()))


def _register(spark: SparkSession, name: str, function: Callable[..., Any], returns: Any) -> Callable[..., Any]:
    registered: Any = spark.udf.register(name, arrow_udf(function, returns))
    return cast("Callable[..., Any]", registered)


def _classifier(model: str | PipelineModel | Classifier) -> Classifier:
    if isinstance(model, Classifier):
        return model
    if not isinstance(model, str):
        return Classifier.of(model)
    from sparkdl.inference.imagenet import NAME, imagenet_classifier
    from sparkdl.models.registry import resolve_model

    return imagenet_classifier() if model == NAME and not Path(model).exists() else resolve_model(model).load()


def _keras_network(model: Any) -> bytes:
    if isinstance(model, str | os.PathLike):
        return convert_keras(os.fspath(model))
    if not callable(getattr(model, "save", None)):
        raise RequestError(f"expected a Keras model or its file, received {type(model).__name__}")
    with tempfile.TemporaryDirectory(prefix="sparkdl-keras-") as directory:
        path = Path(directory) / "model.keras"
        model.save(path)
        return convert_keras(str(path))


def _apply(
    images: pa.Array, file: OnnxFile, shape: tuple[int | None, ...], preprocessor: Preprocessor | None
) -> pa.Array:
    inputs: list[NDArray[np.float32] | None]
    if not pa.types.is_struct(images.type) and preprocessor is None:
        inputs = decode_to_input(images.to_pylist(), shape)
    else:
        pictures = _pictures(images)
        inputs = [None if picture is None else _input(picture, shape, preprocessor) for picture in pictures]
    present = [image for image in inputs if image is not None]
    if not present:
        return pa.nulls(len(images), pa.list_(pa.float32()))
    parts = [run_tensors(file, {INPUT: batch}, [OUTPUT], CHUNK)[0] for batch in batches_of_one_shape(present, CHUNK)]
    values = np.concatenate([part.reshape(len(part), -1) for part in parts])
    return spread(to_column(values.astype(np.float32)), present_rows(inputs))


def _pictures(images: pa.Array) -> list[Pixels | None]:
    if pa.types.is_struct(images.type):
        return struct_to_arrays(images)
    from sparkdl.decoding.udf import decode_payloads

    decoded = decode_payloads(images, DEFAULT_LIMITS)
    pictures = iter(decoded.images())
    return [next(pictures) if present else None for present in decoded.shapes[:, 2] > 0]


def _input(picture: Pixels, shape: tuple[int | None, ...], preprocessor: Preprocessor | None) -> NDArray[np.float32]:
    if preprocessor is None:
        return to_input(picture, shape)
    from PIL import Image

    channels = picture.shape[2]
    rgb = picture[:, :, 0] if channels == 1 else np.ascontiguousarray(picture[:, :, [2, 1, 0, 3][:channels]])
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        Image.fromarray(rgb).save(file, "PNG")
        file.flush()
        image = np.asarray(preprocessor(file.name), np.float32)
    return image[0] if image.ndim == 4 else image
