"""Promises of DeepImagePredictor for the Keras networks: from pixels to probabilities it computes what Keras computes.

Slow: each network is built and exported by TensorFlow, which takes up to a minute.
"""

from __future__ import annotations

import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from images import features_of, image_rows
from needs import need
from pyspark.sql import SparkSession

from sparkdl import DeepImagePredictor
from sparkdl.errors import RequestError
from sparkdl.system.subprocesses import python_command, python_environment

need(find_spec("tensorflow"), "the networks are built with Keras, the optional extra `keras`")
pytestmark = pytest.mark.slow

# Untrained, the others either tell no two images apart (Xception, ResNet50) or need too much memory (VGG16, VGG19).
NETWORKS = {
    "InceptionV3": "inception_v3",
}
SCRIPT = """
import sys, keras, numpy as np
name, module, directory = sys.argv[1:]
keras.utils.set_random_seed(7)
model = getattr(keras.applications, name)(weights=None)
rng = np.random.default_rng(7)
for layer in model.layers:  # as a trained network has them: means and variances that are not 0 and 1
    if isinstance(layer, keras.layers.BatchNormalization):
        layer.set_weights([w + rng.uniform(-0.2, 0.2, w.shape) for w in layer.get_weights()])
last = model.layers[-1]
last.set_weights([w * 8 for w in last.get_weights()])
model.save_weights(f"{directory}/{name}.weights.h5")
size = model.input_shape[1:]
images = np.random.default_rng(1).integers(0, 256, (2, *size)).astype(np.uint8)
images[0, : size[0] // 2, :, 0] = 255
pixels = getattr(keras.applications, module).preprocess_input(images.astype(np.float32))
swapped = getattr(keras.applications, module).preprocess_input(images[..., ::-1].astype(np.float32))
outputs, other = (np.asarray(model(x, training=False)) for x in (pixels, swapped))
np.savez(f"{directory}/{name}.npz", images=images, outputs=outputs, swapped=other)
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_the_probabilities_are_those_of_keras(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SPARKDL_CACHE_DIR", str(tmp_path / "cache"))
    subprocess.run(
        python_command("-c", SCRIPT, name, NETWORKS[name], str(tmp_path)),
        env=python_environment(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3"),
        check=True,
        capture_output=True,
    )
    with np.load(tmp_path / f"{name}.npz") as file:
        images, expected, swapped = file["images"], file["outputs"], file["swapped"]
    predictor = DeepImagePredictor(
        inputCol="image", outputCol="scores", modelName=name, weights=f"{tmp_path}/{name}.weights.h5"
    )

    received = features_of(predictor, image_rows(spark, [image[:, :, ::-1] for image in images]), "scores")

    scale = expected.max()
    assert np.abs(received - expected).max() / scale < 3e-5
    # The test would see another order of the channels, or two images that the network does not tell apart.
    assert np.abs(expected - swapped).max() / scale > 3e-4
    assert np.abs(expected[0] - expected[1]).max() / scale > 3e-4


def test_weights_without_the_classifier_are_refused(tmp_path: Path, inception_weights: Path) -> None:
    predictor = DeepImagePredictor(modelName="InceptionV3", weights=str(inception_weights))
    with pytest.raises(RequestError, match="InceptionV3: expected weights of this network with its top, received"):
        predictor.network()
