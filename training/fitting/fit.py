"""Fits a recipe's pipeline on labelled images: features once, kept in memory, then the classifier on them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark import StorageLevel
from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.feature import IndexToString
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from sparkdl.errors import RequestError
from sparkdl.images.ink import normalize_ink
from sparkdl.images.pixels import to_gray
from sparkdl.images.schema import IMAGE_TYPE, arrays_to_struct, struct_to_arrays
from sparkdl.inference.classifier import Classifier
from sparkdl.networks import runtime
from sparkdl.networks.spec import SCALE_HINTS
from sparkdl.spark.udf import arrow_udf
from sparkdl.transformers.featurizer import DeepImageFeaturizer
from sparkdl.transformers.ink_normalizer import InkNormalizer
from sparkdl.transformers.temperature_scaling import TemperatureScaling
from training.data.dataframes import image_rows
from training.data.loading import Dataset
from training.fitting.augmentation import alter
from training.fitting.classifiers import check_classifier, classifier_of, fit_classifier, validate
from training.fitting.inknet.trainer import Progress, forget, train_inknet
from training.fitting.quantization import compute_with_integers
from training.fitting.recipes import Recipe
from training.fitting.thresholds import Threshold

_PARTITION = 512  # images that are prepared at a time for a network that is trained
_HELD_OUT = 0.1  # of the images, for a network that is trained to be tried on


def silent(what: str, done: int, of: int) -> None:
    """Tells nobody how far the work has come."""


@dataclass(frozen=True)
class Unreadable:
    """A labelled image that did not decode, and why."""

    name: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier and what came of the images.

    Attributes
    ----------
    unreadable
        Images that could not be used to fit it.
    recipe
        As it was applied: of several values of `reg_param` it has the one that was chosen. None where a Pipeline was
        fitted.
    threshold
        The confidence below which a prediction is to be looked at, chosen on images that the classifier was not fitted
        on. None where a Pipeline was fitted, the recipe does not calibrate, or images were too few.
    """

    classifier: Classifier
    unreadable: tuple[Unreadable, ...]
    recipe: Recipe | None = None
    threshold: Threshold | None = None


def feature_stages(recipe: Recipe, weights: Path | None = None) -> list[Transformer]:
    """The stages of `recipe` from the column `image` to the column `features`; `weights`: of the network, instead."""
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
        colorMode="grayscale" if recipe.normalize_ink else "color",
    )
    if weights is not None:
        featurizer.setWeights(str(weights))
    elif recipe.weights is not None:
        featurizer.setWeights(recipe.weights)
    return [*stages, featurizer]


def prepare(recipe: Recipe) -> None:
    """Makes the recipe's network, which can take a while and can be refused, without Spark; it is cached.

    Raises
    ------
    RequestError
        If the recipe asks for a network, layer, size, pooling or classifier that there is not.
    """
    check_classifier(recipe)
    if recipe.trains_network:
        return
    for stage in feature_stages(recipe):
        if isinstance(stage, DeepImageFeaturizer):
            stage.network()


def fit(
    spark: SparkSession, dataset: Dataset, recipe: Recipe | Pipeline, *, seed: int = 0, progress: Progress = silent
) -> Fitted:
    """Fits `recipe` on all of `dataset`.

    The network runs once over the images; the classifier's passes read the features from memory (spilled to disk
    where they do not fit). If the recipe calibrates, its confidence is scaled by `sparkdl.TemperatureScaling`, as
    images that it was not fitted on show, unless the data set is too small to leave any out.

    Parameters
    ----------
    recipe
        Or a Pipeline of the user's own, from the columns `image` (Spark's image schema) and `label` (class index,
        double) to `prediction` and `probability`.
    seed
        Of the altered copies, of the network's training and of the classifier.

    Raises
    ------
    RequestError
        If no image of a class could be decoded.
    """
    classes = dataset.classes
    images = image_rows(spark, dataset, classes)
    names = IndexToString(inputCol="prediction", outputCol="predictedLabel", labels=list(classes))
    if isinstance(recipe, Pipeline):
        with _kept(images) as rows:
            unreadable = _refused(dataset, rows)
            fitted = recipe.fit(rows.where("reason is null"))
        return Fitted(Classifier.of(PipelineModel([*fitted.stages, names]), classes), unreadable)
    classifier_of(recipe, seed)  # refuses what it does not take, before any work
    weights = held_out = None
    if recipe.trains_network:
        weights, held_out = _train_network(spark, images, len(dataset), recipe, seed, progress)
    stages = feature_stages(recipe, weights)
    for stage in stages:
        if isinstance(stage, DeepImageFeaturizer):
            stage.freeze()
    if recipe.precision == "int8":
        progress("quantising the network", 0, 0)
        compute_with_integers(spark, stages, dataset, seed)
    if weights is not None:
        forget(weights)
    elif recipe.copies:
        images = _with_copies(images, recipe, seed)
    features = PipelineModel(stages).transform(images).drop("image", "ink")
    progress("reading images and computing features", 0, 0)
    with _kept(features) as rows:
        unreadable = _refused(dataset, rows)
        good = rows.where("reason is null")
        progress("fitting the classifier", 0, 0)
        chosen, unseen = recipe, None
        if recipe.calibrate or len(recipe.reg_param) > 1:
            chosen, unseen = validate(good, recipe, seed, held_out)
        head = fit_classifier(classifier_of(chosen, seed), good)
    stages = [*stages, head]
    threshold = None
    if recipe.calibrate and unseen is not None:
        temperature = unseen.temperature()
        threshold = unseen.scaled(temperature).threshold(chosen.review_error)
        stages.append(TemperatureScaling(temperature=temperature))
    return Fitted(Classifier.of(PipelineModel([*stages, names]), classes), unreadable, chosen, threshold)


@contextmanager
def _kept(rows: DataFrame) -> Iterator[DataFrame]:
    kept = rows.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield kept
    finally:
        kept.unpersist()


def _refused(dataset: Dataset, rows: DataFrame) -> tuple[Unreadable, ...]:
    refused = rows.where("reason is not null").select("id", "reason", "detail").orderBy("id").collect()
    unreadable = tuple(Unreadable(*row) for row in refused)
    _check_classes(dataset, unreadable)
    return unreadable


def _with_copies(images: DataFrame, recipe: Recipe, seed: int) -> DataFrame:
    """Each good row, and altered ones of it; the column `copy` numbers them from 0, which is as it is."""

    def altered(column: pa.Array, ids: pa.Array, numbers: pa.Array) -> pa.Array:
        rows = zip(struct_to_arrays(column), ids.to_pylist(), numbers.to_pylist(), strict=True)
        pictures = [
            image
            if number == 0 or image is None
            else _altered(to_gray(image), recipe, name, number, seed)[:, :, np.newaxis]
            for image, name, number in rows
        ]
        return arrays_to_struct(column.field("origin"), pictures)

    number = F.when(F.col("reason").isNull(), F.sequence(F.lit(0), F.lit(recipe.copies))).otherwise(F.array(F.lit(0)))
    numbered = images.withColumn("copy", F.explode(number))
    return numbered.withColumn("image", arrow_udf(altered, IMAGE_TYPE)(F.col("image"), F.col("id"), F.col("copy")))


def _altered(gray: NDArray[np.uint8], recipe: Recipe, name: str, number: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng([seed, number, zlib.crc32(name.encode())])
    return alter(gray, rng, scans=recipe.copies_of == "scans")


def _train_network(
    spark: SparkSession, images: DataFrame, count: int, recipe: Recipe, seed: int, progress: Progress
) -> tuple[Path, list[str]]:
    """Trains InkNet on squares of ink, made as the pipeline makes them.

    Gives the file of its weights, and the names of the images that they were not learnt from.
    """
    side, margin = recipe.input_size, recipe.ink_margin
    resample = SCALE_HINTS[recipe.scale_hint]

    def squares(column: pa.Array, ids: pa.Array) -> pa.Array:
        rows = []
        for image, name in zip(struct_to_arrays(column), ids.to_pylist(), strict=True):
            assert image is not None  # a row without an image was left out
            gray = to_gray(image)
            variants = [gray, *(_altered(gray, recipe, name, number, seed) for number in range(1, recipe.copies + 1))]
            inks = [normalize_ink(variant, margin)[:, :, np.newaxis] for variant in variants]
            rows.append(b"".join(runtime.resize_to_input(ink, (side, side, 1), resample).tobytes() for ink in inks))
        return pa.array(rows, pa.binary())

    partitions = max(count // _PARTITION, spark.sparkContext.defaultParallelism)
    good = images.where("reason is null").repartition(partitions)
    made = good.select("id", "label", arrow_udf(squares, "binary")(F.col("image"), F.col("id")).alias("squares"))
    rows = []
    for row in made.toLocalIterator(prefetchPartitions=True):
        rows.append((row.id, int(row.label), np.frombuffer(row.squares, np.uint8).reshape(-1, side, side)))
        if len(rows) % _PARTITION == 0:
            progress("preparing images", len(rows), count)
    if not rows:
        raise RequestError("no image can be decoded")
    rows.sort(key=lambda row: row[0])  # the same order, however Spark has spread them
    labels = np.array([label for _, label, _ in rows])
    held_out = np.random.default_rng(seed).permutation(len(rows))[: round(len(rows) * _HELD_OUT)]
    weights = train_inknet(np.stack([made for _, _, made in rows]), labels, held_out, recipe.epochs, seed, progress)
    return weights, [rows[place][0] for place in held_out]


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
