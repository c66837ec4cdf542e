"""What a model's directory may hold: stages out of a table, in Spark's own layout, and nothing that leads elsewhere."""

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

Not among them are stages that run what they hold (SQLTransformer, whose SQL may call any Java method;
pyspark.ml.connect, which unpickles) and those that load further stages by ways of their own (RFormulaModel,
OneVsRestModel, what a cross-validation gives: save its bestModel).
"""

_NAME = re.compile(r"[\w-]+", re.ASCII)
_LAYOUT = re.compile(
    r"(stages/\d+_[\w-]+/)*"
    r"(metadata/(_SUCCESS|part-\d{5}[\w-]*(\.txt)?)"
    r"|(data|treesMetadata)/(_SUCCESS|part-\d{5}[\w.-]*\.parquet)"
    rf"|{re.escape(NETWORK_FILE)})",
    re.ASCII,
)
_MAX_METADATA_BYTES = 64 << 20  # bytes of a stage's metadata: the names of the classes are in it


def check_pipeline(name: str, pipeline: Path) -> None:
    """Refuses a saved PipelineModel that could do more than compute, before anything of it is loaded.

    Parameters
    ----------
    name
        What the message calls the model.
    pipeline
        Its directory.

    Raises
    ------
    SparkdlError
        Naming the file: a link, one that Spark does not write, a stage of a class that is not in the table, or a
        network that `sparkdl.networks.validation` refuses.
    """
    for path in list(_files(name, pipeline)):  # where they lie first, then what is in them
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
    """The files that Spark might read, each of them where Spark would have written it."""
    for path in sorted(pipeline.rglob("*")):
        file = path.relative_to(pipeline)
        if path.is_symlink():
            raise SparkdlError(f"model {name}: {file} is a link, which no saved model has")
        if path.is_dir() or any(part.startswith(".") for part in file.parts):
            continue  # Spark passes over what is hidden
        if not _LAYOUT.fullmatch(file.as_posix()) or not path.is_file():
            raise SparkdlError(f"model {name}: {file} is not part of a saved PipelineModel")
        yield path


def _check_stage(name: str, what: str, path: Path) -> None:
    """A stage's metadata names the class that loads it; a pipeline's, the directories of its stages."""
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
    """The JSON object that the file's only line is; Spark reads the first line, whatever follows."""
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
    """A JSON object in which no key stands twice: readers differ on which of the two counts."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)
