"""Promise of the package: the notebook of 2019, written for Deep Learning Pipelines, runs in its own words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from needs import need
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession

from training.data.loading import Dataset

METRICS = ("f1", "weightedPrecision", "weightedRecall", "accuracy")


class Result(NamedTuple):
    model: PipelineModel
    predictions: DataFrame
    metrics: Mapping[str, float]


def notebook(spark: SparkSession, folders: Path, modelName: str) -> Result:
    from pyspark.ml import Pipeline
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.evaluation import MulticlassClassificationEvaluator
    from pyspark.sql.functions import lit

    from sparkdl import DeepImageFeaturizer

    def read(part: str) -> DataFrame:
        frames = [
            spark.read.format("image").load(str(folder)).withColumn("label", lit(int(folder.name)))
            for folder in sorted((folders / part).iterdir())
        ]
        return reduce(DataFrame.union, frames)

    train, test = read("train"), read("test")

    featurizer = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName=modelName)
    lr = LogisticRegression(maxIter=5, regParam=0.03, elasticNetParam=0.5, labelCol="label")
    sparkdn = Pipeline(stages=[featurizer, lr])
    spark_model = sparkdn.fit(train)

    predictions = spark_model.transform(test).cache()
    evaluator = MulticlassClassificationEvaluator()
    metrics = {name: evaluator.evaluate(predictions, {evaluator.metricName: name}) for name in METRICS}
    return Result(spark_model, predictions, metrics)


def check(result: Result, images: int, features: int) -> None:
    rows = result.predictions.collect()
    assert len(rows) == images
    assert {len(row.features) for row in rows} == {features}
    assert all(abs(sum(row.probability) - 1) < 1e-9 for row in rows)
    right = sum(row.label == row.prediction for row in rows)
    assert result.metrics["accuracy"] == right / images
    assert all(0 <= value <= 1 for value in result.metrics.values())
    assert result.metrics["accuracy"] > 0.6  # three classes: a guess has 0.33


@pytest.mark.slow
def test_the_notebook_runs_on_numtadb_with_inception_v3(
    spark: SparkSession,
    numtadb_home: Path,
    inception_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need(find_spec("tensorflow"), "InceptionV3 is exported with TensorFlow, the optional extra `keras`")
    monkeypatch.setenv("SPARKDL_WEIGHTS_DIR", str(inception_weights.parent))
    for label in "012":
        images = sorted((numtadb_home / "numta500" / label).iterdir())
        for part, chosen in (("train", images[:8]), ("test", images[8:12])):
            (tmp_path / part / label).mkdir(parents=True)
            for image in chosen:
                (tmp_path / part / label / image.name).symlink_to(image)

    check(notebook(spark, tmp_path, "InceptionV3"), images=12, features=131_072)


@pytest.mark.slow
def test_the_notebook_runs_on_drawn_digits_without_any_download(
    spark: SparkSession, drawn: Dataset, tmp_path: Path
) -> None:
    for label in "012":
        images = [image for image in drawn if image.label == label]
        for part, chosen in (("train", images[:30]), ("test", images[30:])):
            (tmp_path / part / label).mkdir(parents=True)
            for image in chosen:
                (tmp_path / part / image.name).write_bytes(image.read())

    check(notebook(spark, tmp_path, "EfficientNetLite0"), images=30, features=7 * 7 * 1280)
