"""Reads a saved pipeline from its files, without Spark, if it is one that is fused.

Spark's own loading runs several jobs for each stage: seconds, before which a stream has not begun. The stages that are
fused hold a few Params, one file of ONNX and one of Parquet. Whatever looks otherwise is left to Spark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.ml.util import DefaultParamsReader

from sparkdl.inference.fusion import Fused, Regression, fuse
from sparkdl.transformers.featurizer import NETWORK_FILE, DeepImageFeaturizer, restore
from sparkdl.transformers.ink_normalizer import InkNormalizer
from sparkdl.transformers.temperature_scaling import TemperatureScaling

_REGRESSION = "org.apache.spark.ml.classification.LogisticRegressionModel"
_NAMES = "org.apache.spark.ml.feature.IndexToString"
_PIPELINES = ("pyspark.ml.pipeline.PipelineModel", "org.apache.spark.ml.PipelineModel")
_SPARSE, _DENSE = 0, 1  # kinds of vectors and matrices, in Spark's files

Metadata = Mapping[str, Any]


def read_fused(pipeline: Path, classes: tuple[str, ...] | None = None) -> Fused | None:
    """The pipeline in a directory, as one function; None if it has other stages than `sparkdl.inference.fusion.fuse`
    takes.

    Parameters
    ----------
    pipeline
        A saved PipelineModel on a local disk.
    classes
        What its classes are called; None for what its `IndexToString` says.

    Raises
    ------
    SparkdlError
        If its network is not the one that was saved, or is refused by `sparkdl.networks.validation`.
    """
    try:
        metadata = _metadata_of(pipeline)
        if metadata["class"] not in _PIPELINES:
            return None
        stages: list[Any] = []
        for number, uid in enumerate(metadata["paramMap"]["stageUids"]):
            directory = next((pipeline / "stages").glob(f"{number}_{uid}"), None) or next(
                (pipeline / "stages").glob(f"{number:02d}_{uid}")
            )
            of_stage = _metadata_of(directory)
            if of_stage["class"] == _NAMES:
                classes = classes or tuple(of_stage["paramMap"]["labels"])
            elif of_stage["class"] in _READERS:
                stages.append(_READERS[of_stage["class"]](of_stage, directory))
            else:
                return None
        image_column = stages[0].getInputCol()
        probability_column = next(stage for stage in stages if isinstance(stage, Regression)).probability_column
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration, OSError):
        return None  # not as this version of Spark writes it: Spark may know, or say what is wrong
    return fuse(stages, image_column, probability_column, classes)


def _metadata_of(directory: Path) -> Metadata:
    """The line of JSON that each saved stage has."""
    (part,) = (directory / "metadata").glob("part-*")
    value = json.loads(part.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(f"{part}: expected an object")
    return value


def _with_params(make: Callable[[], Any]) -> Callable[[Metadata, Path], Any]:
    def read(metadata: Metadata, directory: Path) -> Any:
        stage = make()
        stage._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(stage, dict(metadata))
        return stage

    return read


def _featurizer(metadata: Metadata, directory: Path) -> DeepImageFeaturizer:
    path = directory / NETWORK_FILE
    return restore(metadata, path.read_bytes(), str(path))


def _regression(metadata: Metadata, directory: Path) -> Regression:
    params = {**metadata["defaultParamMap"], **metadata["paramMap"]}
    (part,) = (directory / "data").glob("part-*")
    (row,) = pq.read_table(part).to_pylist()
    return Regression(
        features_column=params["featuresCol"],
        probability_column=params["probabilityCol"],
        class_count=row["numClasses"],
        coefficients=_matrix(row["coefficientMatrix"]),
        intercepts=_vector(row["interceptVector"]),
        takes_the_most_probable="thresholds" not in params and params["threshold"] == 0.5,
    )


def _vector(saved: Mapping[str, Any]) -> NDArray[np.float64]:
    if saved["type"] == _DENSE:
        return np.array(saved["values"], np.float64)
    vector = np.zeros(saved["size"])
    vector[saved["indices"]] = saved["values"]
    return vector


def _matrix(saved: Mapping[str, Any]) -> NDArray[np.float64]:
    """float64 [rows, columns]; Spark keeps it column by column, or transposed."""
    shape = (saved["numRows"], saved["numCols"])
    lines, length = shape if saved["isTransposed"] else shape[::-1]
    if saved["type"] == _DENSE:
        matrix = np.array(saved["values"], np.float64).reshape(lines, length)
    else:
        matrix = np.zeros((lines, length))
        matrix[np.repeat(np.arange(lines), np.diff(saved["colPtrs"])), saved["rowIndices"]] = saved["values"]
    return matrix if saved["isTransposed"] else matrix.T


_READERS: dict[str, Callable[[Metadata, Path], Any]] = {
    "sparkdl.InkNormalizer": _with_params(InkNormalizer),
    "sparkdl.DeepImageFeaturizer": _featurizer,
    "sparkdl.TemperatureScaling": _with_params(TemperatureScaling),
    _REGRESSION: _regression,
}
