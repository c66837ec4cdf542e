"""Promises of KerasImageFileEstimator: Keras trains in other processes, and the fitted model is an ONNX stage.

Slow: TensorFlow starts once a trial, which takes 6 s.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_models import SHAPE, write_models
from needs import need
from numpy.typing import NDArray
from PIL import Image
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import OneHotEncoder
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel, ParamGridBuilder, TrainValidationSplit
from pyspark.sql import DataFrame, SparkSession

from sparkdl import KerasImageFileEstimator, KerasImageFileTransformer
from sparkdl.errors import RequestError
from sparkdl.transformers.image_loading import ImageLoader

need(find_spec("tensorflow"), "models are trained with TensorFlow, the optional extra `keras`")
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("estimator")
    write_models(directory)
    rng = np.random.default_rng(1)
    for row in range(24):  # bright images of class 0, dark ones of class 1: the untrained model gets them wrong
        image = rng.integers(0, 120, SHAPE) + 130 * (1 - row % 2)
        Image.fromarray(image.astype(np.uint8)).save(directory / f"{row}.png")
    return directory


@pytest.fixture
def images(spark: SparkSession, directory: Path) -> DataFrame:
    rows = [(f"file:{directory}/{row}.png", row % 2) for row in range(24)]
    frame = spark.createDataFrame([*rows, (f"{directory}/missing.png", 0)], "uri string, label int")
    encoder = OneHotEncoder(inputCol="label", outputCol="category", dropLast=False)
    return encoder.fit(frame).transform(frame).cache()


def estimator(directory: Path, **params: Any) -> KerasImageFileEstimator:
    given = {
        "inputCol": "uri",
        "outputCol": "scores",
        "labelCol": "category",
        "modelFile": str(directory / "image.keras"),
        "kerasOptimizer": "adam",
        "kerasLoss": "categorical_crossentropy",
        "kerasFitParams": {"epochs": 12, "batch_size": 4},
    }
    return KerasImageFileEstimator(**given | params)


def loader() -> ImageLoader:
    """A loader; a function of a function, as workers cannot import this module."""

    def load(uri: str) -> NDArray[np.float32]:
        with Image.open(uri.removeprefix("file:")) as image:
            return np.asarray(image, np.float32)[np.newaxis]

    return load


def accuracy(model: Any, frame: DataFrame) -> float:
    rows = model.transform(frame).where("scores is not null").collect()
    assert len(rows) == 24
    return float(np.mean([row.scores.argmax() == row.label for row in rows]))


@slow
def test_a_fitted_model_has_learned_and_is_an_onnx_stage(images: DataFrame, directory: Path, tmp_path: Path) -> None:
    untrained = KerasImageFileTransformer(inputCol="uri", outputCol="scores", modelFile=str(directory / "image.keras"))
    assert accuracy(untrained, images) < 0.5

    model = estimator(directory).fit(images)

    assert isinstance(model, KerasImageFileTransformer)
    assert accuracy(model, images) == 1.0
    model.save(f"{tmp_path}/model")
    loaded = KerasImageFileTransformer.load(f"{tmp_path}/model")
    assert loaded.transform(images).collect() == model.transform(images).collect()
    again = estimator(directory).fit(images)
    np.testing.assert_allclose(
        *([row.scores for row in fitted.transform(images.limit(24)).collect()] for fitted in (model, again)), atol=1e-4
    )


@slow
def test_a_cross_validator_finds_the_better_parameters_and_is_saved(
    images: DataFrame, directory: Path, tmp_path: Path
) -> None:
    untuned = estimator(directory, imageLoader=loader())
    grid = (
        ParamGridBuilder()
        .addGrid(untuned.kerasFitParams, [{"epochs": 1, "batch_size": 24}, {"epochs": 12, "batch_size": 4}])
        .build()
    )
    validator = CrossValidator(
        estimator=untuned,
        estimatorParamMaps=grid,
        evaluator=BinaryClassificationEvaluator(rawPredictionCol="scores", labelCol="label"),
        numFolds=2,
        parallelism=2,
        seed=1,
    )
    model = validator.fit(images.where("uri not like '%missing%'"))

    assert model.avgMetrics[1] > 0.95
    assert model.avgMetrics[1] >= model.avgMetrics[0]
    assert accuracy(model.bestModel, images) == 1.0
    model.write().save(f"{tmp_path}/model")
    best = CrossValidatorModel.load(f"{tmp_path}/model").bestModel
    with pytest.raises(RequestError, match="was saved with an imageLoader"):
        best.transform(images)
    assert accuracy(best.setImageLoader(loader()), images) == 1.0


@slow
def test_class_indices_and_a_validation_split_do_too(images: DataFrame, directory: Path) -> None:
    untuned = estimator(directory, labelCol="label", kerasLoss="sparse_categorical_crossentropy")
    grid = ParamGridBuilder().addGrid(untuned.kerasOptimizer, ["adam", "nadam"]).build()
    model = TrainValidationSplit(
        estimator=untuned,
        estimatorParamMaps=grid,
        evaluator=BinaryClassificationEvaluator(rawPredictionCol="scores", labelCol="label"),
        seed=2,
    ).fit(images.where("uri not like '%missing%'"))
    assert max(model.validationMetrics) > 0.95
    assert accuracy(model.bestModel, images) == 1.0


@slow
def test_models_are_given_to_the_threads_that_ask_for_them(images: DataFrame, directory: Path) -> None:
    untuned = estimator(directory)
    maps = [{untuned.kerasFitParams: {"epochs": epochs}} for epochs in (1, 2)]
    models = untuned.fitMultiple(images, maps)
    found: list[tuple[int, Any]] = []
    threads = [threading.Thread(target=lambda: found.append(next(models))) for _ in maps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(index for index, _ in found) == [0, 1]
    with pytest.raises(StopIteration):
        next(models)


@slow
def test_what_keras_says_of_wrong_arguments_is_one_line(images: DataFrame, directory: Path) -> None:
    wrong = estimator(directory, kerasFitParams={"epoch": 1})
    with pytest.raises(RequestError, match=r"image\.keras cannot be trained: .*epoch") as raised:
        wrong.fit(images)
    assert "\n" not in str(raised.value)


def test_an_estimator_is_saved_without_its_loader(spark: SparkSession, tmp_path: Path) -> None:
    estimator(tmp_path, imageLoader=loader()).save(f"{tmp_path}/estimator")
    loaded = KerasImageFileEstimator.load(f"{tmp_path}/estimator")
    assert loaded.getKerasFitParams() == {"epochs": 12, "batch_size": 4}
    assert loaded.getKerasLoss() == "categorical_crossentropy"
    assert loaded.getImageLoader() is None


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"kerasOptimizer": "adm"}, "unknown kerasOptimizer 'adm': did you mean"),
        ({"kerasLoss": "crossentropy"}, "unknown kerasLoss 'crossentropy'"),
        ({"kerasFitParams": {"callbacks": [object()]}}, "expected kerasFitParams of numbers, texts and lists"),
        ({"kerasFitParams": {"x": 1}}, "without x and y"),
        ({"imageLoader": "load"}, "expected imageLoader, a function from a URI to an array, received 'load'"),
    ],
)
def test_a_wrong_param_is_refused(tmp_path: Path, spark: SparkSession, params: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        estimator(tmp_path, **params)


def test_a_request_that_misses_something_is_refused_before_images_are_read(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([("x.png", 1)], "uri string, label int")
    with pytest.raises(RequestError, match="expected a column 'category', received columns uri, label"):
        estimator(tmp_path).fit(frame)
    with pytest.raises(RequestError, match="KerasImageFileEstimator needs kerasLoss"):
        KerasImageFileEstimator(inputCol="uri", modelFile="x.keras").fit(frame)
