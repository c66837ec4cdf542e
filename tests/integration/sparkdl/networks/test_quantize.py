"""Promises of `sparkdl.networks.quantization` and `training.fitting.quantization`: 8-bit integers, and nearly the same
features.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from images import Pixels, image_rows
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from pyspark.sql import SparkSession

from sparkdl import DeepImageFeaturizer
from sparkdl.images.ink import normalize_ink
from sparkdl.networks.builder import build_network
from sparkdl.networks.quantization import quantize
from sparkdl.networks.spec import NetworkSpec
from sparkdl.networks.validation import check_network
from training.data.dataframes import encoded_rows
from training.data.loading import Dataset
from training.fitting.fit import fit_recipe
from training.fitting.recipes import recipe

SIDE = 64
SPEC = NetworkSpec("EfficientNetLite0", (SIDE, SIDE), ("block7",), "2x2")


@pytest.fixture(scope="module")
def squares(drawn: Dataset) -> Pixels:
    """uint8 [N, SIDE, SIDE, 3]: the ink of drawn digits."""
    made = []
    for drawing in list(drawn)[::4]:
        with Image.open(io.BytesIO(drawing.read())) as image:
            ink = Image.fromarray(normalize_ink(np.asarray(image.convert("L"))))
        made.append(np.asarray(ink.resize((SIDE, SIDE)))[:, :, None].repeat(3, axis=2))
    return np.stack(made)


def features(network: bytes, images: Pixels) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["features"], {"image": images})[0])


def cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def test_features_hardly_change_on_images_that_it_has_not_seen(squares: Pixels) -> None:
    network = build_network(SPEC)
    small = quantize(network, squares[::2])
    unseen = squares[1::2]
    assert cosines(features(network, unseen), features(small, unseen)).mean() > 0.95
    assert len(small) < len(network) / 2
    assert small == quantize(network, squares[::2])
    check_network(small, "small")


def test_no_sum_of_two_products_saturates_in_16_bits(squares: Pixels) -> None:
    small = onnx.load_from_string(quantize(build_network(SPEC), squares))
    weights = [numpy_helper.to_array(tensor) for tensor in small.graph.initializer]
    convolved = [array.astype(int) for array in weights if array.dtype == np.int8 and array.ndim == 4]
    assert len(convolved) > 20
    assert 2 * 255 * max(abs(array).max() for array in convolved) < 2**15


def test_a_stage_is_saved_with_it(spark: SparkSession, squares: Pixels, tmp_path: Path) -> None:
    stage = DeepImageFeaturizer(
        inputCol="image", outputCol="features", modelName="EfficientNetLite0", inputSize=SIDE,
        tapLayers=["block7"], pooling="2x2",
    )  # fmt: skip
    whole = stage.network()
    stage.quantize(list(squares))
    assert stage.network() != whole
    stage.write().overwrite().save(str(tmp_path / "stage"))
    loaded = DeepImageFeaturizer.load(str(tmp_path / "stage"))
    assert loaded.network() == stage.network()
    (row,) = loaded.transform(image_rows(spark, [squares[0]])).select("features").collect()
    np.testing.assert_allclose(row.features.toArray(), features(stage.network(), squares[:1])[0], rtol=1e-5)


@pytest.mark.slow
def test_a_recipe_of_integers_still_tells_digits_apart(spark: SparkSession, drawn: Dataset) -> None:
    known, unseen = drawn.split(0.25, 0)
    fitted = fit_recipe(spark, known, recipe("digits", ["precision=int8", "augmentations=0", "max_iter=20"]))
    rows = fitted.classifier.classify(encoded_rows(spark, unseen)).select("label", "prediction").collect()
    assert np.mean([row.label == row.prediction for row in rows]) > 0.9
