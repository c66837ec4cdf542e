"""Fitting a recipe or a pipeline: accuracy, unreadable images, stages, and holdout predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression, LogisticRegressionModel
from pyspark.ml.feature import IndexToString
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession
from refusals import refused

from sparkdl.models.registry import ModelVersion
from sparkdl.transformers.featurizer import DeepImageFeaturizer
from sparkdl.transformers.ink_normalizer import InkNormalizer
from sparkdl.transformers.temperature_scaling import TemperatureScaling
from training.data.dataframes import encoded_rows
from training.data.loading import Dataset, LabelledImage, open_dataset
from training.data.synthetic.digits import draw_png
from training.evaluation.evaluate import evaluate
from training.fitting.classifiers import FOLDS, cross_validate
from training.fitting.features import feature_stages, prepare_network
from training.fitting.fit import FittedRecipe, fit_pipeline, fit_recipe
from training.fitting.recipes import recipe

QUICK = ["input_size=48", "tap_layers=block5", "pooling=average", "max_iter=10", "augmentations=0"]
SMALL = recipe("digits", QUICK)
LABELS = ("0", "2", "10")
"""In the order of their values; the third is drawn as a 5."""


def pictures(count: int) -> list[LabelledImage]:
    return [
        LabelledImage(f"{label}/{i}.png", label, payload=draw_png(digit, i))
        for label, digit in zip(LABELS, (0, 2, 5), strict=True)
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def fitted(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> FittedRecipe:
    """Three classes of 12 synthetic digits, and three files that are not images."""
    whole = draw_png(0, 99)
    broken = {"2/cut.png": whole[: len(whole) // 2], "0/empty.png": b"", "10/words.png": b"not a picture"}
    root = tmp_path_factory.mktemp("broken")
    images = pictures(12)
    for name, content in broken.items():
        path = root / name
        path.parent.mkdir()
        path.write_bytes(content)
        images.append(LabelledImage(name, path.parent.name, path))
    return fit_recipe(spark, Dataset("here", tuple(images)), SMALL)


def test_a_model_of_synthetic_digits_classifies_others(spark: SparkSession, model: ModelVersion) -> None:
    evaluation = evaluate(spark, model.load(), open_dataset("samples:20", seed=7))
    assert evaluation.metrics["n"] == 200
    assert evaluation.metrics["accuracy"] > 0.9


def test_images_that_do_not_decode_are_left_out_and_named_with_their_reason(fitted: FittedRecipe) -> None:
    assert [(image.name, image.reason) for image in fitted.unreadable] == [
        ("0/empty.png", "empty"),
        ("10/words.png", "unsupported_format"),
        ("2/cut.png", "truncated"),
    ]
    assert all(image.detail for image in fitted.unreadable)


def test_the_pipeline_is_ink_features_classifier_calibration_and_names(fitted: FittedRecipe) -> None:
    assert [type(stage) for stage in fitted.classifier.pipeline.stages] == [
        InkNormalizer,
        DeepImageFeaturizer,
        LogisticRegressionModel,
        TemperatureScaling,
        IndexToString,
    ]
    assert fitted.classifier.pipeline.stages[0].getInputCol() == "image"


def test_a_recipe_without_ink_normalisation_starts_with_the_network(spark: SparkSession) -> None:
    (featurizer,) = feature_stages(recipe("photos"))
    assert isinstance(featurizer, DeepImageFeaturizer)
    assert featurizer.getInputCol() == "image"


def test_the_classes_keep_their_order_in_the_pipeline_and_in_its_predictions(
    spark: SparkSession, fitted: FittedRecipe
) -> None:
    assert fitted.classifier.classes == LABELS
    assert list(fitted.classifier.pipeline.stages[-1].getLabels()) == list(LABELS)
    seen = evaluate(spark, fitted.classifier, Dataset("here", tuple(pictures(4))))
    assert seen.metrics["accuracy"] > 0.9  # they are training images


@pytest.mark.slow
def test_the_features_do_not_stay_in_memory(spark: SparkSession) -> None:
    before = set(spark.sparkContext._jsc.getPersistentRDDs())
    fit_recipe(spark, Dataset("here", tuple(pictures(4))), SMALL)
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) <= before


def test_a_class_without_a_single_good_image_is_refused_with_the_first_that_is_bad(spark: SparkSession) -> None:
    bad = (LabelledImage("7/b.png", "7", payload=b""), LabelledImage("7/a.png", "7", payload=b"GIF89a"))
    with refused("here: no image of class '7' can be decoded", "7/a.png: truncated"):
        fit_recipe(spark, Dataset("here", (*pictures(1), *bad)), SMALL)


def test_a_recipe_that_the_network_cannot_follow_is_refused(spark: SparkSession) -> None:
    wrong = recipe("digits", ["tap_layers=block77"])
    with refused("unknown tap layer 'block77'"):
        fit_recipe(spark, Dataset("here", tuple(pictures(1))), wrong)


def test_encoded_rows_are_the_bytes_of_files_and_drawings_with_their_origins(
    spark: SparkSession, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"from a file")
    dataset = Dataset(
        "here", (LabelledImage("cat/1", "cat", path), LabelledImage("dog/2", "dog", payload=b"from a pen"))
    )
    rows = sorted(encoded_rows(spark, dataset).collect())
    assert [(row.id, row.label, bytes(row.payload)) for row in rows] == [
        ("cat/1", "cat", b"from a file"),
        ("dog/2", "dog", b"from a pen"),
    ]
    assert [row.origin for row in rows] == [f"file:{path}", "here#dog/2"]


@pytest.mark.slow
def test_fitting_twice_gives_the_same_classifier(spark: SparkSession) -> None:
    dataset = Dataset("here", tuple(pictures(3)))
    first, second = (fit_recipe(spark, dataset, SMALL).classifier.pipeline.stages[2] for _ in range(2))
    np.testing.assert_allclose(first.coefficientMatrix.toArray(), second.coefficientMatrix.toArray(), rtol=1e-6)


# Holdout predictions, for images that the classifier was not fitted on


def features(spark: SparkSession, images: int, augmentations: int = 0) -> DataFrame:
    """Rows of two overlapping classes, and augmented rows far away from them."""
    rng = np.random.default_rng(1)
    rows = [
        (f"{i:03d}", float(i % 2), number, Vectors.dense(rng.normal(i % 2 + 50 * number, 0.6, 2).tolist()))
        for i in range(images)
        for number in range(augmentations + 1)
    ]
    frame = spark.createDataFrame(rows, ["id", "label", "augmentation", "features"])
    return (frame if augmentations else frame.drop("augmentation")).cache()


def test_each_image_is_predicted_once_by_a_classifier_of_others(spark: SparkSession) -> None:
    rows = features(spark, 60)
    chosen, holdout = cross_validate(rows, recipe("digits", ["reg_param=0.01"]), seed=0)
    assert chosen.reg_param == (0.01,)
    assert holdout is not None
    assert sorted(holdout.truth) == [0] * 30 + [1] * 30
    assert holdout.probabilities.shape == (60, 2)
    accuracy = (holdout.probabilities.argmax(axis=1) == holdout.truth).mean()
    assert 0.6 < accuracy < 1
    # One that has seen them knows them by heart.
    tree = recipe("digits", ["classifier=DecisionTreeClassifier", "classifier.maxDepth=20"])
    _, guessed = cross_validate(rows, tree, seed=0)
    assert guessed is not None
    assert (guessed.probabilities.argmax(axis=1) == guessed.truth).mean() < 1


def test_an_image_that_is_held_out_is_predicted_and_no_other(spark: SparkSession) -> None:
    _, holdout = cross_validate(features(spark, 40), recipe("digits"), seed=0, holdout_ids=["003", "005", "008"])
    assert holdout is not None
    assert sorted(holdout.truth) == [0, 1, 1]


def test_augmented_images_are_not_predicted(spark: SparkSession) -> None:
    _, holdout = cross_validate(features(spark, 30, augmentations=2), recipe("digits"), seed=0)
    assert holdout is not None
    assert len(holdout.truth) == 30


def test_where_no_image_can_be_left_out_nothing_is_predicted(spark: SparkSession) -> None:
    chosen, holdout = cross_validate(features(spark, 3), recipe("digits", ["reg_param=0.1,0.2"]), seed=0)
    assert (chosen.reg_param, holdout) == ((0.1,), None)
    _, holdout = cross_validate(
        features(spark, 3), recipe("digits"), seed=0, holdout_ids=["001"]
    )  # the only one of its class
    assert holdout is None
    fitted = fit_recipe(spark, Dataset("here", tuple(pictures(1))), SMALL)
    assert fitted.threshold is None
    assert isinstance(fitted.classifier.pipeline.stages[-2], LogisticRegressionModel)


def test_a_recipe_that_does_not_calibrate_is_left_as_it_is(spark: SparkSession) -> None:
    plain = fit_recipe(spark, Dataset("here", tuple(pictures(6))), recipe("digits", [*QUICK, "calibrate=false"]))
    assert plain.threshold is None
    assert isinstance(plain.classifier.pipeline.stages[-2], LogisticRegressionModel)


def test_the_threshold_is_chosen_on_all_images_in_turn(fitted: FittedRecipe) -> None:
    assert fitted.threshold is not None
    assert fitted.threshold.images == 36
    assert fitted.threshold.error_rate == 0.01
    assert 0.9 < fitted.threshold.coverage <= 1
    assert 0 < fitted.threshold.confidence < 1
    assert FOLDS > 1


# Other classifiers, and pipelines of the user's own


@pytest.mark.parametrize(
    "settings",
    [
        ["classifier=RandomForestClassifier", "classifier.numTrees=30"],
        ["classifier=DecisionTreeClassifier"],
        pytest.param(
            ["classifier=MultilayerPerceptronClassifier", "classifier.layers=[80, 8, 3]", "max_iter=60"],
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda settings: settings[0].partition("=")[2],
)
def test_any_classifier_with_probabilities_can_be_the_head(spark: SparkSession, settings: list[str]) -> None:
    chosen = recipe("digits", [*QUICK, *settings])
    made = fit_recipe(spark, Dataset("here", tuple(pictures(12))), chosen).classifier
    assert type(made.pipeline.stages[-3]).__name__.startswith(chosen.classifier.removesuffix("Classifier"))
    evaluation = evaluate(spark, made, Dataset("there", tuple(pictures(20)[12:] + pictures(40)[60:])))
    assert evaluation.metrics["accuracy"] > 0.6


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("classifier=LinearSVC", "unknown classifier 'LinearSVC'"),
        ("classifier.maxDept=3", "unknown Param of LogisticRegression 'maxDept'"),
        ("classifier.tol=much", "--set classifier.tol: "),
    ],
)
def test_a_classifier_that_there_is_not_is_refused_before_any_work(
    spark: SparkSession, setting: str, words: str
) -> None:
    with refused(words):
        fit_recipe(spark, Dataset("here", tuple(pictures(2))), recipe("digits", [*QUICK, setting]))


def test_a_layer_that_the_network_does_not_have_is_refused_without_spark() -> None:
    with refused("unknown tap layer 'block77'"):
        prepare_network(recipe("digits", ["tap_layers=block77"]))


def test_a_classifier_that_cannot_learn_from_these_features_says_why_in_one_line(spark: SparkSession) -> None:
    with refused("NaiveBayes cannot be fitted: ", "MUST NOT be Negative"):
        fit_recipe(spark, Dataset("here", tuple(pictures(4))), recipe("digits", [*QUICK, "classifier=NaiveBayes"]))


@pytest.mark.slow
def test_of_several_regularisations_the_best_in_cross_validation_is_taken(spark: SparkSession) -> None:
    chosen = recipe("digits", [*QUICK, "reg_param=1000,0.1", "augmentations=1"])
    fitted = fit_recipe(spark, Dataset("here", tuple(pictures(12))), chosen)
    assert fitted.recipe is not None
    assert fitted.recipe.reg_param == (0.1,)
    head = fitted.classifier.pipeline.stages[-3]
    assert isinstance(head, LogisticRegressionModel)
    assert head.getRegParam() == 0.1


def test_a_pipeline_of_the_user_s_own_is_fitted_too(spark: SparkSession) -> None:
    featurizer = DeepImageFeaturizer(
        inputCol="image", outputCol="f", modelName="EfficientNetLite0", inputSize=48, tapLayers=["block5"]
    )
    classifier = LogisticRegression(featuresCol="f", maxIter=5, regParam=0.1)
    fitted = fit_pipeline(spark, Dataset("here", tuple(pictures(12))), Pipeline(stages=[featurizer, classifier]))
    assert fitted.classifier.classes == LABELS
    assert evaluate(spark, fitted.classifier, Dataset("there", tuple(pictures(4)))).metrics["accuracy"] > 0.8


@pytest.mark.slow
def test_augmented_images_are_for_training_only(spark: SparkSession) -> None:
    images = Dataset("here", tuple(pictures(6)))
    plain, altered = (fit_recipe(spark, images, recipe("digits", [*QUICK, f"augmentations={n}"])) for n in (0, 3))
    assert [type(stage) for stage in plain.classifier.pipeline.stages] == [
        type(stage) for stage in altered.classifier.pipeline.stages
    ]
    weights = [made.classifier.pipeline.stages[-3].coefficientMatrix.toArray() for made in (plain, altered)]
    assert not np.allclose(*weights)
