"""Promises of `sparkdl.models.allowlist`: what is loaded from a model's directory computes, and does nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_graphs import initializer, network
from pyspark.ml import Estimator, Pipeline, PipelineModel
from pyspark.ml.classification import (
    DecisionTreeClassifier,
    FMClassifier,
    GBTClassifier,
    LogisticRegression,
    MultilayerPerceptronClassifier,
    NaiveBayes,
    OneVsRest,
    RandomForestClassifier,
)
from pyspark.ml.clustering import GaussianMixture
from pyspark.ml.feature import PCA, IndexToString, MinMaxScaler, RFormula, SQLTransformer, StringIndexer
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession

from sparkdl import DeepImageFeaturizer, InkNormalizer
from sparkdl.errors import SparkdlError
from sparkdl.models.allowlist import check_pipeline
from sparkdl.models.registry import resolve_model


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    values = [(Vectors.dense([float(n), 1.0]), float(n % 2), "ab"[n % 2]) for n in range(8)]
    return spark.createDataFrame(values, ["v", "label", "name"]).cache()


def save(model: PipelineModel, path: Path) -> Path:
    """Saves without Hadoop's checksums, which would tell of every change."""
    model.write().save(path.as_uri())
    for checksum in path.rglob("*.crc"):
        checksum.unlink()
    return path


@pytest.fixture(scope="module")
def saved(rows: DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    fitted = LogisticRegression(featuresCol="v", maxIter=1).fit(rows)
    network = DeepImageFeaturizer(
        inputCol="image", outputCol="f", modelName="EfficientNetLite0", inputSize=32, tapLayers=["block2"]
    )
    inner = PipelineModel([InkNormalizer(inputCol="image", outputCol="image"), network])
    name = IndexToString(inputCol="prediction", outputCol="name", labels=["a", "b"])
    return save(PipelineModel([inner, fitted, name]), tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    """A pipeline of each kind of stage, to do harm to."""
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refusal(model: Path) -> str:
    with pytest.raises(SparkdlError) as raised:
        resolve_model(str(model)).load()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def metadata_of(model: Path, stage: str) -> Path:
    (file,) = model.glob(f"**/*{stage}*/metadata/part-*")
    return file


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


# What is loaded


def test_a_pipeline_of_pipelines_of_our_stages_and_sparks_is_loaded(model: Path) -> None:
    check_pipeline("m", model)
    assert len(resolve_model(str(model)).load().pipeline.stages) == 3


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (DecisionTreeClassifier, {"featuresCol": "v", "maxDepth": 1}),
        (FMClassifier, {"featuresCol": "v", "maxIter": 1}),
        (GBTClassifier, {"featuresCol": "v", "maxIter": 1, "maxDepth": 1}),
        (MultilayerPerceptronClassifier, {"featuresCol": "v", "layers": [2, 2], "maxIter": 1}),
        (NaiveBayes, {"featuresCol": "v"}),
        (RandomForestClassifier, {"featuresCol": "v", "numTrees": 1, "maxDepth": 1}),
        (MinMaxScaler, {"inputCol": "v", "outputCol": "w"}),
        (PCA, {"k": 1, "inputCol": "v", "outputCol": "w"}),
        (StringIndexer, {"inputCol": "name", "outputCol": "w"}),
    ],
)
def test_what_spark_saves_of_its_stages_is_loaded(
    kind: type[Estimator[Any]], params: dict[str, object], rows: DataFrame, tmp_path: Path
) -> None:
    save(Pipeline(stages=[kind(**params)]).fit(rows), tmp_path / "model")
    assert len(resolve_model(str(tmp_path / "model")).load().pipeline.stages) == 1


def test_a_mixture_of_gaussians_is_loaded(spark: SparkSession, tmp_path: Path) -> None:
    # On a few rows in a line Java's LAPACK may loop without end.
    points = np.random.default_rng(0).normal(size=(60, 2)).tolist()
    rows = spark.createDataFrame([(Vectors.dense(point),) for point in points], ["v"])
    save(Pipeline(stages=[GaussianMixture(featuresCol="v", k=2, maxIter=1)]).fit(rows), tmp_path / "model")
    assert len(resolve_model(str(tmp_path / "model")).load().pipeline.stages) == 1


# What runs code


def test_a_stage_that_calls_java_by_its_sql_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    statement = "SELECT *, reflect('java.lang.System', 'getProperty', 'user.name') AS who FROM __THIS__"
    save(PipelineModel([SQLTransformer(statement=statement)]), tmp_path / "model")
    assert "its stage of class org.apache.spark.ml.feature.SQLTransformer is refused" in refusal(tmp_path / "model")


def test_a_stage_that_loads_further_stages_is_refused(rows: DataFrame, tmp_path: Path) -> None:
    one = LogisticRegression(featuresCol="v", maxIter=1)
    for number, stage in enumerate((RFormula(formula="label ~ v"), OneVsRest(featuresCol="v", classifier=one))):
        save(Pipeline(stages=[stage]).fit(rows), tmp_path / f"{number}")
        assert "is refused" in (said := refusal(tmp_path / f"{number}")) or "is not part of a saved" in said


@pytest.mark.parametrize(
    "loader",
    [
        "os.system",
        "sparkdl.networks.keras_export.os",
        "sparkdlx.Stage",
        "pyspark.ml.feature.SQLTransformer",
        "pyspark.ml.connect.classification.LogisticRegressionModel",  # unpickles
        "org.apache.spark.ml.tuning.CrossValidatorModel",
        7,
        ["sparkdl.InkNormalizer"],
        None,
    ],
)
@pytest.mark.parametrize("stage", ["IndexToString", "InkNormalizer"])  # of the pipeline, and of the one within
def test_a_stage_of_any_other_class_is_refused(model: Path, stage: str, loader: object) -> None:
    change(metadata_of(model, stage), **{"class": loader})
    assert "its stage of class " in refusal(model)


def test_a_network_that_refers_to_a_file_is_refused(model: Path) -> None:
    (file,) = model.glob("**/network.onnx")
    hostile = network()
    initializer(hostile)
    file.write_bytes(hostile.SerializeToString())
    assert f"{file.relative_to(model)}: its tensor 'w' is in another file, '/etc/passwd'" in refusal(model)


# What leads elsewhere


@pytest.mark.parametrize("uid", ["x/../../../elsewhere", "..", "*", "{a,b}", "a b", "", 7])
def test_a_stage_outside_its_pipeline_is_refused(model: Path, uid: object) -> None:
    (file,) = model.glob("metadata/part-*")
    change(file, paramMap={"stageUids": [uid]})
    assert "names stages that are not directories of their pipeline" in refusal(model)


def test_a_link_is_refused(model: Path) -> None:
    (stage,) = model.glob("stages/*IndexToString*")
    stage.symlink_to(stage.rename(model.parent / "elsewhere"))
    assert "is a link, which no saved model has" in refusal(model)


@pytest.mark.parametrize(
    "name",
    [
        "metadata/first",
        "metadata/_metadata",
        "metadata/_x=1",
        "metadata/x=1/part-00000",
        "metadata/part-00000.gz",
        "metadata/_spark_metadata/0",  # Spark would read the files that it lists instead
        "stages/1_x/data/_metadata",
        "stages/1_x/data/_spark_metadata/0",
        "stages/1_x/model_0/metadata/part-00000",
        "classifier/metadata/part-00000",
        "extra.py",
    ],
)
def test_a_file_that_spark_does_not_write_is_refused(model: Path, name: str) -> None:
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_text('{"class": "os.system"}')
    assert f"{name} is not part of a saved PipelineModel" in refusal(model)


def test_a_pipe_in_place_of_a_file_is_refused(model: Path) -> None:
    (data,) = model.glob("stages/*/data/part-*")
    data.unlink()
    os.mkfifo(data)
    assert "is not part of a saved PipelineModel" in refusal(model)


# What is no metadata


def second_line(file: Path) -> None:
    file.write_text('{"class": "os.system"}\n' + file.read_text())


def second_line_by_another_end(file: Path) -> None:
    file.write_bytes(b'{"class":\r' + file.read_bytes()[len('{"class":') :])


def same_key_twice(file: Path) -> None:
    file.write_text('{"class": "os.system", ' + file.read_text()[1:])


def deep(file: Path) -> None:
    file.write_text("[" * 100_000)


@pytest.mark.parametrize("spoil", [second_line, second_line_by_another_end, same_key_twice, deep])
def test_metadata_that_two_readers_may_read_differently_is_refused(model: Path, spoil: Callable[[Path], None]) -> None:
    spoil(metadata_of(model, "IndexToString"))
    assert "is not a stage's metadata" in refusal(model)


@pytest.mark.parametrize("content", [b"", b"[]", b"\x1f\x8b\xff"])
def test_metadata_that_is_no_json_object_is_refused(model: Path, content: bytes) -> None:
    metadata_of(model, "IndexToString").write_bytes(content)
    assert "is not a stage's metadata" in refusal(model)


def test_metadata_in_two_parts_is_refused(model: Path) -> None:
    file = metadata_of(model, "IndexToString")
    shutil.copy(file, file.with_name("part-00001"))
    assert "is not the only part of its stage's metadata" in refusal(model)
