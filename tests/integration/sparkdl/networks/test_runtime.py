"""Promises of `sparkdl.networks.runtime`: images fitted to the network, one session a network, vectors as Spark stores
them.
"""

from __future__ import annotations

import gc
import hashlib

import numpy as np
import pyarrow as pa
import pytest
from images import Pixels, noise
from PIL.Image import Resampling
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import SparkSession

from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import composite_on_white, to_gray
from sparkdl.networks.builder import build_network
from sparkdl.networks.runtime import CHUNK, Network, extract_features, resize_to_input, session, to_vectors
from sparkdl.networks.spec import NetworkSpec
from sparkdl.spark.udf import arrow_udf
from sparkdl.spark.worker_gc import freeze_gc


def ship(spark: SparkSession, content: bytes, shape: tuple[int, int, int] = (32, 32, 3)) -> Network:
    return Network(hashlib.sha256(content).hexdigest(), spark.sparkContext.broadcast(content), shape)


@pytest.fixture(scope="module")
def network(spark: SparkSession) -> Network:
    return ship(spark, build_network(NetworkSpec("EfficientNetLite0", (32, 32), ("block4",), "2x2")))


# --- fit -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(32, 48), (48, 32), (7, 5), (1, 1), (200, 3)])
def test_every_image_is_stretched_to_size_and_three_channels(shape: tuple[int, int], channels: int) -> None:
    fitted = resize_to_input(noise(1, *shape, channels), (32, 48, 3), Resampling.BILINEAR)
    assert fitted.shape == (32, 48, 3)
    assert fitted.dtype == np.uint8


def test_an_image_of_the_right_size_is_left_as_it_is() -> None:
    colour, alpha = noise(1, 8, 9, 3), noise(2, 8, 9, 4)
    np.testing.assert_array_equal(resize_to_input(colour, (8, 9, 3), Resampling.BOX), colour)
    opaque = composite_on_white(alpha)
    np.testing.assert_array_equal(resize_to_input(alpha, (8, 9, 3), Resampling.BOX), opaque)
    gray = resize_to_input(colour[..., :1], (8, 9, 3), Resampling.BOX)
    np.testing.assert_array_equal(gray, np.repeat(colour[..., :1], 3, axis=2))


def test_for_a_network_of_one_channel_every_image_becomes_gray() -> None:
    colour = noise(1, 8, 9, 3)
    gray = to_gray(colour)[..., np.newaxis]
    np.testing.assert_array_equal(resize_to_input(colour, (8, 9, 1), Resampling.BOX), gray)
    np.testing.assert_array_equal(resize_to_input(gray, (8, 9, 1), Resampling.BOX), gray)
    assert resize_to_input(noise(2, 8, 9, 4), (5, 4, 1), Resampling.BOX).shape == (5, 4, 1)


def test_channels_keep_their_order_when_resized() -> None:
    image = np.zeros((4, 4, 4), np.uint8)
    image[...] = (10, 20, 30, 255)
    resized = resize_to_input(image, (2, 3, 3), Resampling.BICUBIC)
    assert np.unique(resized.reshape(-1, 3), axis=0).tolist() == [[10, 20, 30]]


@pytest.mark.parametrize(("resample", "expected"), [(Resampling.BOX, 100), (Resampling.NEAREST, 200)])
def test_the_filter_is_the_one_asked_for(resample: Resampling, expected: int) -> None:
    checkered = np.array([[0, 200], [200, 0]], np.uint8).repeat(2, axis=0).repeat(2, axis=1)[1:3, 1:3, np.newaxis]
    checkered[1, 1] = 200
    checkered[0, 1] = 0
    checkered[1, 0] = 200
    assert resize_to_input(checkered, (1, 1, 3), resample).ravel().tolist() == [expected] * 3


def test_an_image_that_may_not_be_written_to_is_fitted_too() -> None:
    image = np.frombuffer(noise(1, 9, 9, 3).tobytes(), np.uint8).reshape(9, 9, 3)
    assert resize_to_input(image, (4, 4, 3), Resampling.BOX).shape == (4, 4, 3)


# --- features ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pictures() -> list[Pixels]:
    return [noise(row, 20 + row, 30, (1, 3, 4)[row % 3]) for row in range(2 * CHUNK + 5)]


def test_features_do_not_depend_on_the_neighbours_in_a_batch(network: Network, pictures: list[Pixels]) -> None:
    together = extract_features(pictures, network, Resampling.BILINEAR)
    assert together.shape == (len(pictures), 2 * 2 * 40)
    assert together.dtype == np.float32
    for row in (0, CHUNK - 1, CHUNK, 2 * CHUNK, len(pictures) - 1):
        alone = extract_features([pictures[row]], network, Resampling.BILINEAR)
        np.testing.assert_allclose(together[row], alone[0], rtol=0, atol=1e-5)


def test_no_images_give_no_features_and_no_vectors(network: Network) -> None:
    features = extract_features([], network, Resampling.BOX)
    assert len(features) == 0
    assert len(to_vectors(features)) == 0


def test_a_network_is_opened_once_however_often_it_is_shipped(spark: SparkSession, network: Network) -> None:
    again = ship(spark, network.content.value)
    assert again.content is not network.content
    assert session(again) is session(network)


def test_the_network_used_last_stays_open_while_others_come_and_go(spark: SparkSession, network: Network) -> None:
    others = [
        ship(spark, build_network(NetworkSpec("EfficientNetLite0", (32, 32), (f"block{tap}",), "average")))
        for tap in range(6)
    ]
    opened, first = session(network), session(others[0])
    for other in others[1:]:
        session(other)
        assert session(network) is opened
    assert session(others[0]) is not first


def test_bytes_that_are_no_network_are_refused(spark: SparkSession) -> None:
    with pytest.raises(SparkdlError, match="the network cannot be loaded"):
        session(ship(spark, b"not ONNX"))


# --- vectors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_are_what_sparks_own_would_be(spark: SparkSession, dtype: type) -> None:
    features = np.random.default_rng(1).normal(size=(10, 7)).astype(dtype)
    features[3, 3], features[4, 4] = np.nan, -np.inf

    def vectors(ids: pa.Array) -> pa.Array:
        return to_vectors(features[ids.to_numpy()])

    frame = spark.range(10).coalesce(1)
    rows = frame.select("id", arrow_udf(vectors, VectorUDT())(frame.id).alias("vector")).collect()

    assert len(rows) == 10
    for row in rows:
        assert type(row.vector) is type(Vectors.dense([0]))
        np.testing.assert_array_equal(row.vector.toArray(), Vectors.dense(features[row.id]).toArray())


def test_the_collector_passes_over_what_a_first_session_has_loaded(network: Network) -> None:
    freeze_gc.cache_clear()
    gc.unfreeze()
    session(Network("the first", network.content, network.input_shape))
    assert gc.get_freeze_count() > 10_000
