"""Fits a recipe's pipeline on labelled images: features once, kept in memory, then the classifier on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import IndexToString
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.arrow import arrow_udf
from sparkdl.errors import RequestError
from sparkdl.featurizer import DeepImageFeaturizer
from sparkdl.normalize import InkNormalizer
from sparkdl.predictor import DECODED, ENCODED, Classifier, decode_rows
from training.datasets import Dataset
from training.recipes import Recipe


@dataclass(frozen=True)
class Unreadable:
    """A labelled image that did not decode, and why."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier, and the images that could not be used to fit it."""

    classifier: Classifier
    unreadable: tuple[Unreadable, ...]


def encoded_rows(spark: SparkSession, dataset: Dataset) -> DataFrame:
    """`dataset` as rows `id string, origin string, payload binary, label string`, files read by the workers."""
    table = pa.table(
        {
            "id": [image.name for image in dataset],
            "path": pa.array([None if image.path is None else str(image.path.resolve()) for image in dataset]),
            "drawn": pa.array([image.payload for image in dataset], pa.binary()),
            "label": [image.label for image in dataset],
        }
    )
    rows = spark.createDataFrame(table).repartition(spark.sparkContext.defaultParallelism)
    origin = F.coalesce(F.concat(F.lit("file:"), "path"), F.concat(F.lit("samples:"), "id"))
    return rows.select("id", origin.alias("origin"), _payload(F.col("path"), F.col("drawn")).alias("payload"), "label")


def _payload(paths: Column, drawn: Column) -> Column:
    def read(path: pa.Array, payload: pa.Array) -> pa.Array:
        return pa.array(
            [Path(p.as_py()).read_bytes() if p.is_valid else b.as_py() for p, b in zip(path, payload, strict=True)],
            pa.binary(),
        )

    return arrow_udf(read, "binary")(paths, drawn)


def feature_stages(recipe: Recipe) -> list[Transformer]:
    """The stages of `recipe` from the column `image` to the column `features`."""
    stages: list[Transformer] = []
    if recipe.normalize_ink:
        stages.append(InkNormalizer(inputCol="image", outputCol="ink", margin=recipe.ink_margin))
    featurizer = DeepImageFeaturizer(
        inputCol="ink" if recipe.normalize_ink else "image",
        outputCol="features",
        modelName=recipe.model_name,
        scaleHint=recipe.scale_hint,
        inputSize=recipe.input_size,
        tapLayers=list(recipe.tap_layers),
        pooling=recipe.pooling,
    )
    if recipe.weights is not None:
        featurizer.setWeights(recipe.weights)
    return [*stages, featurizer]


def prepare(recipe: Recipe) -> None:
    """Makes the recipe's network, which can take a while and can be refused, without Spark; it is cached.

    Raises
    ------
    RequestError
        If the recipe asks for a network, layer, size or pooling that there is not.
    """
    for stage in feature_stages(recipe):
        if isinstance(stage, DeepImageFeaturizer):
            stage.network()


def fit(spark: SparkSession, dataset: Dataset, recipe: Recipe) -> Fitted:
    """Fits `recipe` on all of `dataset`.

    The network runs once over the images; the classifier's passes read the features from memory (spilled to disk
    where they do not fit).

    Raises
    ------
    RequestError
        If no image of a class could be decoded.
    """
    classes = dataset.classes
    stages = feature_stages(recipe)
    images = decode_rows(encoded_rows(spark, dataset), "image")
    features = (
        PipelineModel(stages)
        .transform(images)
        .select(
            F.col(f"{ENCODED}.id").alias("id"),
            _index(F.col(f"{ENCODED}.label"), classes).alias("label"),
            f"{DECODED}.reason",
            f"{DECODED}.detail",
            "features",
        )
    )
    features = features.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        refused = features.where("reason is not null").select("id", "reason", "detail").orderBy("id").collect()
        unreadable = tuple(Unreadable(*row) for row in refused)
        _check_classes(dataset, unreadable)
        estimator = LogisticRegression(
            maxIter=recipe.max_iter, regParam=recipe.reg_param, elasticNetParam=recipe.elastic_net_param
        )
        fitted = estimator.fit(features.where("reason is null"))
    finally:
        features.unpersist()
    names = IndexToString(inputCol="prediction", outputCol="predictedLabel", labels=list(classes))
    return Fitted(Classifier(PipelineModel([*stages, fitted, names]), classes), unreadable)


def _index(label: Column, classes: Sequence[str]) -> Column:
    return (F.array_position(F.array(*map(F.lit, classes)), label) - 1).cast("double")


def _check_classes(dataset: Dataset, unreadable: Sequence[Unreadable]) -> None:
    lost = {image.name for image in unreadable}
    left = {image.label for image in dataset if image.name not in lost}
    for label in dataset.classes:
        if label not in left:
            first = next(bad for bad in unreadable if any(i.name == bad.name and i.label == label for i in dataset))
            raise RequestError(
                f"{dataset.address}: no image of class {label!r} can be decoded "
                f"(the first, {first.name}: {first.reason}, {first.detail})"
            )
