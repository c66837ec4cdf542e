"""Allowlist of what a saved pipeline may hold: known stages in Spark's own layout, and no links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sparkdl.errors import SparkdlError
from sparkdl.networks.spec import NETWORK_FILE
from sparkdl.networks.validation import MAX_BYTES, check_network

PIPELINES = frozenset({"org.apache.spark.ml.PipelineModel", "pyspark.ml.pipeline.PipelineModel"})
STAGES = frozenset(
    {
        "sparkdl.DeepImageFeaturizer",
        "sparkdl.ImportedClassifier",
        "sparkdl.DeepImagePredictor",
        "sparkdl.KerasTransformer",
        "sparkdl.OnnxImageTransformer",
        "sparkdl.OnnxTransformer",
        "sparkdl.InkNormalizer",
        "sparkdl.TemperatureScaling",
        *(
            f"org.apache.spark.ml.feature.{name}"
            for name in (
                "Binarizer",
                "Bucketizer",
                "ChiSqSelectorModel",
                "DCT",
                "ElementwiseProduct",
                "ImputerModel",
                "IndexToString",
                "Interaction",
                "MaxAbsScalerModel",
                "MinMaxScalerModel",
                "Normalizer",
                "OneHotEncoderModel",
                "PCAModel",
                "PolynomialExpansion",
                "RobustScalerModel",
                "StandardScalerModel",
                "StringIndexerModel",
                "UnivariateFeatureSelectorModel",
                "VarianceThresholdSelectorModel",
                "VectorAssembler",
                "VectorIndexerModel",
                "VectorSizeHint",
                "VectorSlicer",
            )
        ),
        *(
            f"org.apache.spark.ml.classification.{name}"
            for name in (
                "DecisionTreeClassificationModel",
                "FMClassificationModel",
                "GBTClassificationModel",
                "LinearSVCModel",
                "LogisticRegressionModel",
                "MultilayerPerceptronClassificationModel",
                "NaiveBayesModel",
                "RandomForestClassificationModel",
            )
        ),
        "org.apache.spark.ml.clustering.GaussianMixtureModel",
    }
)
"""The stages that are loaded: each holds numbers and names only.

Stages that run what they hold are excluded (SQLTransformer, whose SQL may call any Java method; pyspark.ml.connect,
which unpickles), and so are those that load further stages in their own way (RFormulaModel, OneVsRestModel, the result
of a cross-validation: save its bestModel).
"""

_NAME = re.compile(r"[\w-]+", re.ASCII)
_LAYOUT = re.compile(
    r"(stages/\d+_[\w-]+/)*"
    r"(metadata/(_SUCCESS|part-\d{5}[\w-]*(\.txt)?)"
    r"|(data|treesMetadata)/(_SUCCESS|part-\d{5}[\w.-]*\.parquet)"
    rf"|{re.escape(NETWORK_FILE)})",
    re.ASCII,
)
_MAX_METADATA_BYTES = 64 << 20  # bytes of a stage's metadata, which contains the names of the classes


def check_pipeline(name: str, pipeline: Path) -> None:
    """Refuse a saved PipelineModel that could do more than compute, before any of it is loaded.

    Parameters
    ----------
    name
        The model's name in the message.
    pipeline
        Its directory.

    Raises
    ------
    SparkdlError
        If there is a link, a file that Spark does not write, a stage whose class is not in the table, or a network that
        `sparkdl.networks.validation` refuses; the message names the file.
    """
    for path in list(_files(name, pipeline)):  # first their paths, then their content
        what = f"model {name}: {path.relative_to(pipeline)}"
        if path.parent.name == "metadata" and path.name != "_SUCCESS":
            if sum(other.name.startswith("part-") for other in path.parent.iterdir()) > 1:
                raise SparkdlError(f"{what} is not the only part of its stage's metadata")
            _check_stage(name, what, path)
        elif path.name == NETWORK_FILE:
            if path.stat().st_size > MAX_BYTES:
                raise SparkdlError(f"{what}: expected at most {MAX_BYTES} bytes, received {path.stat().st_size}")
            check_network(path.read_bytes(), what)


def _files(name: str, pipeline: Path) -> Iterator[Path]:
    """Yield the files that Spark might read; raise an error for a file that Spark would not have written."""
    for path in sorted(pipeline.rglob("*")):
        file = path.relative_to(pipeline)
        if path.is_symlink():
            raise SparkdlError(f"model {name}: {file} is a link, which no saved model has")
        if path.is_dir() or any(part.startswith(".") for part in file.parts):
            continue  # Spark ignores hidden files
        if not _LAYOUT.fullmatch(file.as_posix()) or not path.is_file():
            raise SparkdlError(f"model {name}: {file} is not part of a saved PipelineModel")
        yield path


def _check_stage(name: str, what: str, path: Path) -> None:
    """Check the class named by a stage's metadata, and the stage directories named by a pipeline's metadata."""
    metadata = _only_line(what, path)
    loader = str(metadata.get("class"))
    if loader in PIPELINES:
        params = metadata.get("paramMap")
        stages = params.get("stageUids") if isinstance(params, dict) else None
        if not isinstance(stages, list) or not all(isinstance(uid, str) and _NAME.fullmatch(uid) for uid in stages):
            raise SparkdlError(f"{what} names stages that are not directories of their pipeline")
    elif loader not in STAGES:
        raise SparkdlError(
            f"model {name}: its stage of class {loader[:200]} is refused: expected one of Spark's or this "
            "package's that hold numbers and names only"
        )


def _only_line(what: str, path: Path) -> dict[str, Any]:
    """Return the JSON object on the file's only line; Spark reads the first line and ignores the rest."""
    if path.stat().st_size > _MAX_METADATA_BYTES:
        raise SparkdlError(f"{what}: expected at most {_MAX_METADATA_BYTES} bytes, received {path.stat().st_size}")
    try:
        line = path.read_bytes().decode().removesuffix("\n")
        value = json.loads(line, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise SparkdlError(f"{what} is not a stage's metadata") from error
    if "\n" in line or "\r" in line or not isinstance(value, dict):
        raise SparkdlError(f"{what} is not a stage's metadata")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; refuse duplicate keys, because parsers differ on which value counts."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a duplicate key")
    return dict(pairs)
