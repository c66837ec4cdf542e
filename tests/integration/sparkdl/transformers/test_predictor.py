"""Promises of DeepImagePredictor: the probabilities of the published classifier, on batch and stream, saved or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import features_of, image_rows, noise
from numpy.typing import NDArray
from photographs import daisy, palace
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from queries import streamed
from torch_reference import read_checkpoint

import sparkdl
from sparkdl import DeepImageFeaturizer, DeepImagePredictor
from sparkdl.errors import RequestError, SparkdlError
from sparkdl.networks.backbones import backbone
from sparkdl.networks.classifiers.imagenet_classes import imagenet_classes, imagenet_labels
from sparkdl.networks.weights import find_weights

COLUMNS = {"inputCol": "image", "outputCol": "predictions", "modelName": "EfficientNetLite0"}


@pytest.fixture(scope="module")
def photographs(spark: SparkSession) -> DataFrame:
    """A daisy and a palace, in this order."""
    pictures = [sparkdl.decode(content) for content in (daisy(), palace())]
    return image_rows(spark, [picture for picture in pictures if isinstance(picture, np.ndarray)]).cache()


def decoded(rows: list[Any]) -> list[list[tuple[str, str]]]:
    return [[(best["class"], best.description) for best in row.predictions] for row in rows]


def test_a_daisy_is_a_daisy(photographs: DataFrame) -> None:
    predictor = DeepImagePredictor(**COLUMNS, decodePredictions=True, topK=3)
    flower, building = predictor.transform(photographs).orderBy("id").collect()

    assert [len(flower.predictions), len(building.predictions)] == [3, 3]
    assert (flower.predictions[0]["class"], flower.predictions[0].description) == ("n11939491", "daisy")
    probabilities = [best.probability for best in flower.predictions]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0.1 < sum(probabilities) <= 1


def test_probabilities_are_those_of_the_published_classifier_on_the_features(spark: SparkSession) -> None:
    frame = image_rows(spark, [noise(seed, 60, 90, 3) for seed in range(3)])
    weights = find_weights(backbone("EfficientNetLite0"), None)
    assert weights is not None
    published = read_checkpoint(weights)
    featurizer = DeepImageFeaturizer(
        inputCol="image", outputCol="features", modelName="EfficientNetLite0", pooling="average"
    )
    expected = softmax(features_of(featurizer, frame) @ published["_fc.weight"].T + published["_fc.bias"])

    received = features_of(DeepImagePredictor(**COLUMNS), frame, "predictions")

    assert received.shape == (3, 1000)
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert not np.allclose(received[0], received[1], atol=1e-5)


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def test_a_stream_gives_the_rows_of_a_batch(photographs: DataFrame, tmp_path: Path) -> None:
    predictor = DeepImagePredictor(**COLUMNS, decodePredictions=True)
    rows = streamed(photographs, predictor.transform, tmp_path)
    batch = predictor.transform(photographs).collect()
    assert sorted(rows, key=lambda row: row.id) == sorted(batch, key=lambda row: row.id)


def test_a_loaded_predictor_needs_nothing_but_its_directory(
    photographs: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = DeepImagePredictor(**COLUMNS, topK=2, decodePredictions=True)
    before = predictor.transform(photographs).orderBy("id").collect()
    PipelineModel([predictor]).write().save(f"{tmp_path}/saved")
    (tmp_path / "cache").mkdir()
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))

    loaded = PipelineModel.load(f"{tmp_path}/saved")

    assert loaded.transform(photographs).orderBy("id").collect() == before
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"modelName": "InkNet"}, "InkNet has no ImageNet classifier: expected one of InceptionV3,"),
        ({"modelName": "ResNet"}, "did you mean ResNet50"),
        ({"topK": 0}, "expected topK from 1 to 1000, received 0"),
    ],
)
def test_a_wrong_param_is_refused(spark: SparkSession, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        DeepImagePredictor(**arguments)


def test_an_undefined_image_is_an_error_that_names_it(spark: SparkSession, photographs: DataFrame) -> None:
    undefined = spark.sql(
        "SELECT named_struct('origin', 'file:/x.png', 'height', -1, 'width', -1, 'nChannels', -1, 'mode', -1, "
        "'data', X'') AS image"
    )
    with pytest.raises(Exception, match=r"image 'file:/x\.png' is null or undefined"):
        DeepImagePredictor(**COLUMNS).transform(photographs.select("image").union(undefined)).collect()


def test_a_stage_without_a_model_says_what_it_needs(photographs: DataFrame) -> None:
    with pytest.raises(SparkdlError, match="DeepImagePredictor needs modelName"):
        DeepImagePredictor(inputCol="image", outputCol="x").transform(photographs)


def test_the_thousand_classes_are_in_the_order_of_their_identifiers_and_have_different_labels() -> None:
    identifiers = [described.identifier for described in imagenet_classes()]
    assert identifiers == sorted(identifiers)
    assert len(set(identifiers)) == len(set(imagenet_labels())) == 1000
    assert [imagenet_labels()[index] for index in (1, 134, 985)] == ["goldfish", "crane n02012849", "daisy"]
