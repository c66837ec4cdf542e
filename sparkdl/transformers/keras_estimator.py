"""KerasImageFileEstimator: trains a Keras model on image files that a column names."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params
from pyspark.ml.param.shared import HasInputCol, HasLabelCol, HasOutputCol, HasSeed
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWriter, MLWritable, MLWriter
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, IntegerType, StructField, StructType

from sparkdl.errors import RequestError, unknown
from sparkdl.networks.foreign.onnx_files import inputs_of, parse_onnx
from sparkdl.networks.foreign.tensors import to_tensor
from sparkdl.networks.keras_files.allowed import LOSSES, OPTIMIZERS
from sparkdl.networks.keras_files.conversion import Training, convert_keras, train_keras
from sparkdl.spark import arrow
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.image_loading import HasImageLoader, ImageLoader, check_input_shape, load_images
from sparkdl.transformers.keras_image_file import KerasImageFileTransformer
from sparkdl.transformers.keras_params import HasModelFile, HasOutputMode
from sparkdl.transformers.persistence import saved_params

ParamMap = Mapping[Param[Any], Any]

_TENSOR = StructType([StructField("shape", ArrayType(IntegerType()), True), StructField("data", BinaryType(), True)])


def _to_optimizer(value: Any) -> str:
    names = {name.lower(): name for name in OPTIMIZERS}
    if not isinstance(value, str) or value.lower() not in names:
        raise unknown("kerasOptimizer", str(value), names)
    return value


def _to_loss(value: Any) -> str:
    if value not in LOSSES:
        raise unknown("kerasLoss", str(value), LOSSES)
    return str(value)


def _to_fit_params(value: Any) -> dict[str, Any]:
    try:
        text = json.dumps(value)
    except (TypeError, ValueError) as error:
        raise RequestError(f"expected kerasFitParams of numbers, texts and lists, received {value!r}") from error
    if not isinstance(value, dict) or {"x", "y"} & value.keys():
        raise RequestError(f"expected kerasFitParams, arguments of Model.fit without x and y, received {text}")
    return dict(value)


class KerasImageFileEstimator(
    Estimator[KerasImageFileTransformer],
    HasInputCol,
    HasOutputCol,
    HasLabelCol,
    HasModelFile,
    HasImageLoader,
    HasOutputMode,
    HasSeed,
    DefaultParamsReadable["KerasImageFileEstimator"],
    MLWritable,
):
    """Trains a Keras model on the image files that a column of URIs names.

    Each model is trained by Keras in a separate process, on the driver's machine: a `CrossValidator` trains as many
    at a time as its `parallelism` says. The fitted model is a `KerasImageFileTransformer` with its network as ONNX.

    Parameters
    ----------
    inputCol
        A column of strings: URIs, or paths that the workers can open. Files that cannot be read are left out.
    outputCol
        The name of the column that the fitted model adds.
    outputMode
        Of the fitted model: `vector` (default) or `image`.
    labelCol
        A column of Vectors (one-hot classes) or arrays, or of numbers (class indices, for a loss such as
        `sparse_categorical_crossentropy`). Default "label".
    modelFile
        A Keras model with one input and one output, `.keras` or `.h5`, whose weights training starts from. Files with
        code in them are refused, see `sparkdl.networks.keras_files.checks`.
    imageLoader
        As of `KerasImageFileTransformer`; the fitted model has it too. It is never saved.
    kerasOptimizer
        A name that Keras knows. Default "adam".
    kerasLoss
        A name that Keras knows, such as "categorical_crossentropy".
    kerasFitParams
        Further arguments of Keras's `Model.fit`, such as `{"epochs": 5, "batch_size": 64}`: numbers, texts and lists.
        Default {}.
    seed
        Of shuffling, dropout and random initializers. Default 0.

    Notes
    -----
    All images are collected on the driver, as float32 arrays of the size that the model takes, and kept on its disk
    while models are trained. Needs the extra `keras`.

    Examples
    --------
    >>> from pyspark.ml.tuning import ParamGridBuilder
    >>> from sparkdl import KerasImageFileEstimator
    >>> estimator = KerasImageFileEstimator(
    ...     inputCol="uri", outputCol="scores", labelCol="category", modelFile="model.keras",
    ...     kerasOptimizer="adam", kerasLoss="categorical_crossentropy", kerasFitParams={"epochs": 5},
    ... )
    >>> grid = ParamGridBuilder().addGrid(estimator.kerasFitParams, [{"epochs": 5}, {"epochs": 10}]).build()
    >>> len(grid)
    2
    >>> estimator.fit(uris, grid)  # doctest: +SKIP
    """

    __module__ = "sparkdl"  # saved models name the stage so, wherever its module lies

    kerasOptimizer: Param[str] = Param(Params._dummy(), "kerasOptimizer", "the optimizer's name", _to_optimizer)
    kerasLoss: Param[str] = Param(Params._dummy(), "kerasLoss", "the loss's name", _to_loss)
    kerasFitParams: Param[dict[str, Any]] = Param(
        Params._dummy(), "kerasFitParams", "further arguments of Model.fit", _to_fit_params
    )

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        outputMode: str = "vector",
        labelCol: str | None = None,
        modelFile: str | None = None,
        imageLoader: ImageLoader | None = None,
        kerasOptimizer: str | None = None,
        kerasLoss: str | None = None,
        kerasFitParams: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(outputMode="vector", kerasOptimizer="adam", kerasFitParams={}, seed=0)
        self._set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        outputMode: str | None = None,
        labelCol: str | None = None,
        modelFile: str | None = None,
        imageLoader: ImageLoader | None = None,
        kerasOptimizer: str | None = None,
        kerasLoss: str | None = None,
        kerasFitParams: dict[str, Any] | None = None,
        seed: int | None = None,
    ) -> KerasImageFileEstimator:
        """Sets any of the constructor's arguments; None leaves a Param as it is."""
        return self._set_given(cast("dict[str, Any]", self._input_kwargs))  # type: ignore[attr-defined]

    def _set_given(self, given: dict[str, Any]) -> KerasImageFileEstimator:
        return self._set(**{name: value for name, value in given.items() if value is not None})

    def setInputCol(self, value: str) -> KerasImageFileEstimator:
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> KerasImageFileEstimator:
        return self._set(outputCol=value)

    def setLabelCol(self, value: str) -> KerasImageFileEstimator:
        return self._set(labelCol=value)

    def setKerasOptimizer(self, value: str) -> KerasImageFileEstimator:
        return self._set(kerasOptimizer=value)

    def setKerasLoss(self, value: str) -> KerasImageFileEstimator:
        return self._set(kerasLoss=value)

    def setKerasFitParams(self, value: dict[str, Any]) -> KerasImageFileEstimator:
        return self._set(kerasFitParams=value)

    def setSeed(self, value: int) -> KerasImageFileEstimator:
        return self._set(seed=value)

    def getKerasOptimizer(self) -> str:
        return self.getOrDefault(self.kerasOptimizer)

    def getKerasLoss(self) -> str:
        return self.getOrDefault(self.kerasLoss)

    def getKerasFitParams(self) -> dict[str, Any]:
        return self.getOrDefault(self.kerasFitParams)

    def fitMultiple(
        self, dataset: DataFrame, paramMaps: Sequence[ParamMap]
    ) -> Iterator[tuple[int, KerasImageFileTransformer]]:
        """Return an iterator of (index, model), which may be asked by several threads at once.

        The images are loaded once for all models. Each model is trained when it is asked for.
        """
        trials = [self.copy(dict(params)) for params in paramMaps]
        for trial in trials:
            trial._check(dataset)
        images = _LoadedImages(lambda directory: self._load(dataset, directory), len(trials))
        return _Trials([lambda trial=trial: trial._train(images) for trial in trials])  # type: ignore[misc]

    def _fit(self, dataset: DataFrame) -> KerasImageFileTransformer:
        self._check(dataset)
        return self._train(_LoadedImages(lambda directory: self._load(dataset, directory), 1))

    def _check(self, dataset: DataFrame) -> None:
        for name in ("inputCol", "modelFile", "kerasLoss"):
            if not self.isDefined(name):
                raise RequestError(f"KerasImageFileEstimator needs {name}")
        for column in (self.getInputCol(), self.getLabelCol()):
            if column not in dataset.columns:
                raise RequestError(f"expected a column {column!r}, received columns {', '.join(dataset.columns)}")

    def _train(self, images: _LoadedImages) -> KerasImageFileTransformer:
        with images as arrays:
            training = Training(
                arrays, self.getKerasOptimizer(), self.getKerasLoss(), self.getKerasFitParams(), self.getSeed()
            )
            content = train_keras(self.getModelFile(), training)
        model = KerasImageFileTransformer(outputMode=self.getOutputMode())
        for param in (self.inputCol, self.outputCol, self.imageLoader, self.modelFile):
            if self.isDefined(param):
                model._set(**{param.name: self.getOrDefault(param)})
        model.set_network(content)
        return model

    def _load(self, dataset: DataFrame, directory: Path) -> None:
        """Write the images and labels of a DataFrame into a directory, as `Training` has them."""
        loader = self.getImageLoader()
        shape: tuple[int | None, ...] = ()
        if loader is None:
            shape = inputs_of(parse_onnx(convert_keras(self.getModelFile())))[0].shape or ()
            check_input_shape(shape, "KerasImageFileEstimator")

        def load(uris: pa.Array) -> pa.Array:
            return _to_rows(load_images(uris.to_pylist(), loader, shape))

        image = arrow_udf(load, _TENSOR)(F.col(self.getInputCol()))
        rows = dataset.select(image.alias("image"), F.col(self.getLabelCol()).alias("label"))
        table = rows.where("image.data is not null and label is not null").toArrow().combine_chunks()
        if not len(table):
            raise RequestError(f"no image of column {self.getInputCol()!r} can be read, or none has a label")
        np.save(directory / "features.npy", _to_array(table["image"].combine_chunks()))
        np.save(directory / "labels.npy", to_tensor(table["label"].combine_chunks(), self.getLabelCol()))

    def write(self) -> MLWriter:
        return _ParamsWriter(self)


class _ParamsWriter(DefaultParamsWriter):
    """Writes the Params of a stage but its functions."""

    def saveImpl(self, path: str) -> None:
        DefaultParamsWriter.saveMetadata(self.instance, path, self.sparkSession, paramMap=saved_params(self.instance))


class _LoadedImages:
    """A directory of images and labels: written at first use, removed after the last of a number of uses."""

    def __init__(self, load: Callable[[Path], None], uses: int) -> None:
        self._load = load
        self._left = uses
        self._lock = threading.Lock()
        self._directory: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Path:
        with self._lock:
            if self._directory is None:
                directory = tempfile.TemporaryDirectory(prefix="sparkdl-images-")
                self._load(Path(directory.name))
                self._directory = directory
            return Path(self._directory.name)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._left -= 1
            if self._left <= 0 and self._directory is not None:
                self._directory.cleanup()


class _Trials(Iterator[tuple[int, KerasImageFileTransformer]]):
    """Models by their number, each trained by the thread that asks for it."""

    def __init__(self, trials: Sequence[Callable[[], KerasImageFileTransformer]]) -> None:
        self._trials = trials
        self._next = 0
        self._lock = threading.Lock()

    def __next__(self) -> tuple[int, KerasImageFileTransformer]:
        with self._lock:
            index = self._next
            if index >= len(self._trials):
                raise StopIteration
            self._next += 1
        return index, self._trials[index]()


def _to_rows(images: Sequence[NDArray[np.float32] | None]) -> pa.StructArray:
    """Return images, [H, W, C] or None, as rows of `_TENSOR`."""
    shapes = pa.array([None if image is None else list(image.shape) for image in images], pa.list_(pa.int32()))
    data = arrow.binary_array([None if image is None else image.tobytes() for image in images])
    return pa.StructArray.from_arrays([shapes, data], names=["shape", "data"])


def _to_array(column: pa.StructArray) -> NDArray[np.float32]:
    """Return rows of `_TENSOR` as [N, H, W, C]; a RequestError if they differ in shape."""
    shapes = {tuple(shape) for shape in column.field("shape").to_pylist()}
    if len(shapes) != 1:
        raise RequestError(f"expected images of one shape from imageLoader, received {sorted(shapes)[:5]}")
    images = [np.frombuffer(content.as_buffer(), np.float32) for content in column.field("data")]
    return np.stack(images).reshape(-1, *next(iter(shapes)))
