"""Loading of a saved pipeline from its files, without Spark ML, if it can be fused.

Spark's own loading runs several jobs per stage, which delays the start of a stream by seconds, and `pyspark.ml` imports
pandas and SciPy. The stages that can be fused consist of a few Params, one ONNX file and one Parquet file. Spark loads
everything else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sparkdl.images.ink import check_margin
from sparkdl.inference.fusion import Featurizer, FusedModel, Imported, Ink, Regression, Stage, Temperature, fuse
from sparkdl.networks.imported.backbones import remember
from sparkdl.networks.imported.settings import ImportedSettings
from sparkdl.networks.spec import NETWORK_FILE, NetworkSpec, check_scale_hint
from sparkdl.networks.validation import check_digest, check_network

_REGRESSION = "org.apache.spark.ml.classification.LogisticRegressionModel"
_NAMES = "org.apache.spark.ml.feature.IndexToString"
_PIPELINES = ("pyspark.ml.pipeline.PipelineModel", "org.apache.spark.ml.PipelineModel")
_SPARSE, _DENSE = 0, 1  # kinds of vectors and matrices in Spark's files

Metadata = Mapping[str, Any]


def load_fused(pipeline: Path, classes: tuple[str, ...] | None = None) -> FusedModel | None:
    """Return the fused pipeline in a directory; None if it has stages that cannot be fused.

    Parameters
    ----------
    pipeline
        A saved PipelineModel on a local disk.
    classes
        The names of its classes. Default: the labels of its `IndexToString`.

    Raises
    ------
    SparkdlError
        If its network differs from the saved one, or is refused by `sparkdl.networks.validation`.
    """
    try:
        metadata = _metadata_of(pipeline)
        if metadata["class"] not in _PIPELINES:
            return None
        stages: list[Stage] = []
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
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, StopIteration, OSError):
        return None  # not in the layout of this version of Spark: Spark loads it or reports an error
    return fuse(stages, classes)


def _metadata_of(directory: Path) -> Metadata:
    """Return the JSON metadata of a saved stage."""
    (part,) = (directory / "metadata").glob("part-*")
    value = json.loads(part.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise TypeError(f"{part}: expected an object")
    return value


def _params(metadata: Metadata) -> dict[str, Any]:
    return {**metadata["defaultParamMap"], **metadata["paramMap"]}


def _ink(metadata: Metadata, directory: Path) -> Ink:
    params = _params(metadata)
    return Ink(params["inputCol"], params["outputCol"], check_margin(float(params["margin"])))


def _featurizer(metadata: Metadata, directory: Path) -> Featurizer:
    params = _params(metadata)
    if "backbone" in metadata["network"]:
        remember(params["modelName"], metadata["network"]["backbone"])
    spec = NetworkSpec.of(
        params["modelName"],
        input_size=params.get("inputSize"),
        tap_layers=params.get("tapLayers"),
        pooling=params["pooling"],
        weights=params.get("weights"),
        color_mode=params["colorMode"],
    )
    path = directory / NETWORK_FILE
    content = path.read_bytes()
    check_digest(content, metadata["network"]["sha256"], str(path))
    check_network(content, str(path))
    hint = check_scale_hint(params["scaleHint"])
    return Featurizer(params["inputCol"], params["outputCol"], spec, hint, lambda: content)


def _imported(metadata: Metadata, directory: Path) -> Imported:
    params = _params(metadata)
    path = directory / NETWORK_FILE
    content = path.read_bytes()
    check_digest(content, metadata["network"]["sha256"], str(path))
    check_network(content, str(path))
    settings = ImportedSettings.from_params(params)
    return Imported.of(settings, params["inputCol"], params["probabilityCol"], lambda: content)


def _temperature(metadata: Metadata, directory: Path) -> Temperature:
    params = _params(metadata)
    temperature = float(params["temperature"])
    if not 0 < temperature < math.inf:
        raise ValueError(f"a temperature of {temperature}")
    return Temperature(params["probabilityCol"], temperature)


def _regression(metadata: Metadata, directory: Path) -> Regression:
    params = _params(metadata)
    (part,) = (directory / "data").glob("part-*")
    (row,) = pq.ParquetFile(part).read().to_pylist()  # `read_table` loads pandas
    return Regression(
        features_column=params["featuresCol"],
        probability_column=params["probabilityCol"],
        class_count=row["numClasses"],
        coefficients=_matrix(row["coefficientMatrix"]),
        intercepts=_vector(row["interceptVector"]),
        predicts_most_probable="thresholds" not in params and params["threshold"] == 0.5,
    )


def _vector(saved: Mapping[str, Any]) -> NDArray[np.float64]:
    if saved["type"] == _DENSE:
        return np.array(saved["values"], np.float64)
    vector = np.zeros(saved["size"])
    vector[saved["indices"]] = saved["values"]
    return vector


def _matrix(saved: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return float64 [rows, columns]; Spark stores it column by column, or transposed."""
    shape = (saved["numRows"], saved["numCols"])
    lines, length = shape if saved["isTransposed"] else shape[::-1]
    if saved["type"] == _DENSE:
        matrix = np.array(saved["values"], np.float64).reshape(lines, length)
    else:
        matrix = np.zeros((lines, length))
        matrix[np.repeat(np.arange(lines), np.diff(saved["colPtrs"])), saved["rowIndices"]] = saved["values"]
    return matrix if saved["isTransposed"] else matrix.T


_READERS: dict[str, Callable[[Metadata, Path], Stage]] = {
    "sparkdl.InkNormalizer": _ink,
    "sparkdl.DeepImageFeaturizer": _featurizer,
    "sparkdl.ImportedClassifier": _imported,
    "sparkdl.TemperatureScaling": _temperature,
    _REGRESSION: _regression,
}
