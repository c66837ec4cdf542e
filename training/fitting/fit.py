"""Fits a classifier on labelled images: a recipe, or a user's own Spark ML pipeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark import StorageLevel
from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.feature import IndexToString
from pyspark.sql import DataFrame, SparkSession

from sparkdl.errors import RequestError
from sparkdl.inference.classifier import Classifier
from sparkdl.transformers.featurizer import DeepImageFeaturizer
from sparkdl.transformers.temperature_scaling import TemperatureScaling
from training.data.dataframes import image_rows
from training.data.dataset import Dataset, UnreadableImage
from training.fitting.augmented_rows import add_augmented_rows
from training.fitting.classifiers import cross_validate, fit_classifier, make_classifier
from training.fitting.features import check_requirements, feature_stages
from training.fitting.inknet.trainer import discard_training
from training.fitting.inknet.training_images import train_network
from training.fitting.progress import Progress, no_progress, reported, tally_file
from training.fitting.quantization import quantize_network
from training.fitting.recipes import Recipe
from training.fitting.thresholds import Threshold


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier.

    Attributes
    ----------
    classifier
        From encoded images to the names of their classes.
    unreadable
        Images that could not be decoded; the classifier was fitted on all others.
    """

    classifier: Classifier
    unreadable: tuple[UnreadableImage, ...]


@dataclass(frozen=True)
class FittedRecipe(Fitted):
    """A fitted recipe.

    Attributes
    ----------
    recipe
        The recipe as it was applied: `reg_param` is the chosen value.
    threshold
        The review threshold, chosen on holdout predictions. None if the recipe does not calibrate, or if there are too
        few images for a holdout.
    """

    recipe: Recipe
    threshold: Threshold | None


def fit_pipeline(spark: SparkSession, dataset: Dataset, pipeline: Pipeline) -> Fitted:
    """Fit a user's own pipeline on all of `dataset`.

    Parameters
    ----------
    pipeline
        Reads the columns `image` (Spark's image schema) and `label` (class index in the order of `dataset.classes`,
        double), and adds `prediction` (class index, double) and `probability` (vector). The decoded images are cached
        while it is fitted, in memory and then on disk.

    Raises
    ------
    RequestError
        If no image of a class can be decoded.
    """
    with _cached(image_rows(spark, dataset, dataset.classes)) as rows:
        unreadable = _find_unreadable(dataset, rows)
        stages = pipeline.fit(rows.where("reason is null")).stages
    return Fitted(_make_classifier(stages, dataset), unreadable)


def fit_recipe(
    spark: SparkSession, dataset: Dataset, recipe: Recipe, *, seed: int = 0, progress: Progress = no_progress
) -> FittedRecipe:
    """Fit `recipe` on all of `dataset`.

    The network runs once over the images. The classifier's passes read the cached features, in memory and then on disk.
    If the recipe calibrates, `sparkdl.TemperatureScaling` scales the confidence and a review threshold is chosen, both
    on holdout predictions.

    Parameters
    ----------
    seed
        Seed of the augmentation, the network's training, the folds and the classifier, 0 to 4294967295.
    progress
        Receives each step when it begins, and the progress of steps that report it.

    Raises
    ------
    RequestError
        If no image of a class can be decoded; if the classifier has no such Param, or the Param does not accept the
        value, or the classifier cannot be fitted on these features; if the network has no such layer or does not
        accept the input size; if an extra that the recipe needs is not installed.
    SparkdlError
        If training the network fails.
    """
    check_requirements(recipe)
    make_classifier(recipe, seed)  # refuses unknown Params and bad values before any work
    with tally_file(spark) as tally:
        return _fit_counted(spark, dataset, recipe, seed, progress, tally)


def _fit_counted(
    spark: SparkSession, dataset: Dataset, recipe: Recipe, seed: int, progress: Progress, tally: Path | None
) -> FittedRecipe:
    images = image_rows(spark, dataset, dataset.classes, tally)
    stages, holdout_ids = _fit_feature_stages(spark, dataset, images, recipe, seed, progress)
    if recipe.augmentations and not recipe.trains_network:
        images = add_augmented_rows(images, recipe, seed)
    features = PipelineModel(stages).transform(images).drop("image", "ink")
    with _cached(features) as rows:
        with reported(progress, "computing features", "computing the last features", tally, len(dataset)):
            unreadable = _find_unreadable(dataset, rows)
        decoded = rows.where("reason is null")
        progress("fitting the classifier", 0, 0)
        holdout = None
        if recipe.calibrate or len(recipe.reg_param) > 1:
            recipe, holdout = cross_validate(decoded, recipe, seed, holdout_ids)
        stages.append(fit_classifier(make_classifier(recipe, seed), decoded))
    threshold = None
    if recipe.calibrate and holdout is not None:
        temperature = holdout.temperature()
        threshold = holdout.scaled(temperature).threshold(recipe.review_error)
        stages.append(TemperatureScaling(temperature=temperature))
    return FittedRecipe(_make_classifier(stages, dataset), unreadable, recipe, threshold)


def _fit_feature_stages(
    spark: SparkSession, dataset: Dataset, images: DataFrame, recipe: Recipe, seed: int, progress: Progress
) -> tuple[list[Transformer], frozenset[str] | None]:
    """Return the recipe's feature stages with their final network, trained and quantized as the recipe specifies.

    Also returns the ids of the images that the network was not trained on; None if it was not trained here.
    """
    network = train_network(spark, images, len(dataset), recipe, seed, progress) if recipe.trains_network else None
    stages = feature_stages(recipe, None if network is None else network.weights)
    for stage in stages:
        if isinstance(stage, DeepImageFeaturizer):
            stage.freeze()
    if recipe.precision == "int8":
        progress("quantizing the network", 0, 0)
        quantize_network(spark, stages, dataset, seed)
    if network is None:
        return stages, None
    discard_training(network.weights)
    return stages, network.holdout


def _make_classifier(stages: Sequence[Transformer], dataset: Dataset) -> Classifier:
    """Return the classifier of fitted stages, with a last stage that names the predicted class."""
    classes = dataset.classes
    names = IndexToString(inputCol="prediction", outputCol="predictedLabel", labels=list(classes))
    return Classifier.of(PipelineModel([*stages, names]), classes)


@contextmanager
def _cached(rows: DataFrame) -> Iterator[DataFrame]:
    cached = rows.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield cached
    finally:
        cached.unpersist()


def _find_unreadable(dataset: Dataset, rows: DataFrame) -> tuple[UnreadableImage, ...]:
    refused = rows.where("reason is not null").select("id", "reason", "detail").orderBy("id").collect()
    unreadable = tuple(UnreadableImage(*row) for row in refused)
    _check_classes(dataset, unreadable)
    return unreadable


def _check_classes(dataset: Dataset, unreadable: Sequence[UnreadableImage]) -> None:
    lost = {image.name for image in unreadable}
    left = {image.label for image in dataset if image.name not in lost}
    for label in dataset.classes:
        if label not in left:
            first = next(bad for bad in unreadable if any(i.name == bad.name and i.label == label for i in dataset))
            raise RequestError(
                f"{dataset.address}: no image of class {label!r} can be decoded "
                f"(the first, {first.name}: {first.reason}, {first.detail})"
            )
