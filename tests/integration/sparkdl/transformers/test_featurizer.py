"""Promises of `sparkdl.transformers.featurizer`: the old stage with its old defaults, more to choose, and errors in one
line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from images import features_of, image_rows, noise
from pictures import encode
from PIL import Image
from pooling import adaptive_mean
from pyspark.errors import PythonException
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from sparkdl import DeepImageFeaturizer, InkNormalizer, decode
from sparkdl.errors import RequestError
from sparkdl.images.pixels import to_gray
from sparkdl.images.schema import IMAGE_TYPE
from sparkdl.networks.backbones import BACKBONES
from sparkdl.networks.spec import SCALE_HINTS, NetworkSpec


def small(**params: object) -> DeepImageFeaturizer:
    """A stage that takes milliseconds: 32 px up to a layer of 4 x 4 positions and 40 channels."""
    columns = {"inputCol": "image", "outputCol": "features"}
    network = {"modelName": "EfficientNetLite0", "inputSize": 32, "tapLayers": ["block4"]}
    return DeepImageFeaturizer(**{**columns, **network, **params})


# --- Params --------------------------------------------------------------------------------------------------------


def test_the_constructor_and_the_setters_of_deep_learning_pipelines_work() -> None:
    built = DeepImageFeaturizer(inputCol="image", outputCol="out", modelName="InceptionV3", scaleHint="SCALE_FAST")
    blank = DeepImageFeaturizer()
    chained = blank.setInputCol("image").setOutputCol("out").setModelName("InceptionV3").setScaleHint("SCALE_FAST")
    assert chained is blank
    for stage in (built, chained):
        assert stage.getInputCol() == "image"
        assert stage.getOutputCol() == "out"
        assert stage.getModelName() == "InceptionV3"
        assert stage.getScaleHint() == "SCALE_FAST"


def test_the_new_params_have_setters_and_getters_too() -> None:
    stage = DeepImageFeaturizer(modelName="VGG16")
    assert stage.setInputSize([64, 96]).getInputSize() == [64, 96]
    assert stage.setInputSize(64).getInputSize() == [64, 64]
    assert stage.setTapLayers(["block3_pool", "block5_pool"]).getTapLayers() == ["block3_pool", "block5_pool"]
    assert stage.setPooling("3x3").getPooling() == "3x3"
    assert stage.getColorMode() == "color"
    assert stage.setColorMode("grayscale").getColorMode() == "grayscale"
    assert stage.setWeights("vgg16.h5").getWeights() == "vgg16.h5"
    assert stage.network_spec() == NetworkSpec(
        "VGG16", (64, 64), ("block3_pool", "block5_pool"), "3x3", weights="vgg16.h5", grayscale=True
    )


NATIVE = {
    "InceptionV3": (299, "mixed10"),
    "Xception": (299, "block14_sepconv2_act"),
    "ResNet50": (224, "conv5_block3_out"),
    "VGG16": (224, "block5_pool"),
    "VGG19": (224, "block5_pool"),
    "EfficientNetLite0": (224, "head"),
    "InkNet": (32, "embedding"),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_by_default_it_is_the_last_layer_at_the_native_size_flattened(name: str) -> None:
    size, tap = NATIVE[name]
    stage = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName=name)
    assert stage.network_spec() == NetworkSpec(name, (size, size), (tap,), "none", weights=None)
    assert stage.getScaleHint() == "SCALE_AREA_AVERAGING"


def test_an_argument_that_is_none_means_the_default() -> None:
    given = DeepImageFeaturizer(
        modelName="EfficientNetLite0", inputSize=None, tapLayers=None, weights=None, inputCol=None
    )
    assert given.network_spec() == DeepImageFeaturizer(modelName="EfficientNetLite0").network_spec()
    assert given.setParams(pooling=None, scaleHint=None).getScaleHint() == "SCALE_AREA_AVERAGING"


def test_params_of_one_call_do_not_change_the_stage(spark: SparkSession) -> None:
    stage, frame = small(pooling="average"), image_rows(spark, [noise(1, 32, 32, 3)])
    once = stage.transform(frame, {stage.outputCol: "once", stage.pooling: "2x2"})
    assert once.columns == ["id", "image", "once"]
    assert len(once.head().once) == 4 * 40
    assert stage.getOutputCol() == "features"
    assert stage.getPooling() == "average"


# --- Features ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pooling", "cells"), [("none", 16), ("average", 1), ("2x2", 4), ("3x3", 9)])
def test_pooling_sets_the_width_and_takes_means_over_a_grid(spark: SparkSession, pooling: str, cells: int) -> None:
    frame = image_rows(spark, [noise(seed, 32, 32, 3) for seed in range(3)])
    positions = features_of(small(), frame).reshape(3, 4, 4, 40)

    received = features_of(small(pooling=pooling), frame)

    assert received.shape == (3, cells * 40)
    grid = {"none": 4, "average": 1}.get(pooling) or int(pooling[0])
    expected = np.stack([adaptive_mean(image, grid) for image in positions]).reshape(3, -1)
    np.testing.assert_allclose(received, expected, rtol=0, atol=1e-5)


def test_an_oblong_input_is_pooled_as_height_by_width(spark: SparkSession) -> None:
    frame = image_rows(spark, [noise(1, 32, 80, 3)])
    positions = features_of(small(inputSize=[32, 80]), frame).reshape(4, 10, 40)
    received = features_of(small(inputSize=[32, 80], pooling="3x3"), frame)
    np.testing.assert_allclose(received[0], adaptive_mean(positions, 3).ravel(), rtol=0, atol=1e-5)


def test_two_taps_are_joined_in_the_order_asked_for(spark: SparkSession) -> None:
    frame = image_rows(spark, [noise(1, 32, 32, 3), noise(2, 32, 32, 3)])
    first, second = (
        features_of(small(inputSize=64, tapLayers=[tap], pooling="2x2"), frame) for tap in ("head", "block2")
    )
    assert first.shape[1] == 4 * 1280
    assert second.shape[1] == 4 * 24

    joined = features_of(small(inputSize=64, tapLayers=["head", "block2"], pooling="2x2"), frame)

    np.testing.assert_allclose(joined, np.concatenate([first, second], axis=1), rtol=0, atol=1e-5)


def test_gray_is_three_equal_channels(spark: SparkSession) -> None:
    gray = noise(1, 40, 30, 1)
    features = features_of(small(), image_rows(spark, [gray, np.repeat(gray, 3, axis=2)]))
    np.testing.assert_array_equal(features[0], features[1])


@pytest.mark.parametrize("mode", ["color", "grayscale"])
@pytest.mark.parametrize("ink", [False, True])
def test_alpha_is_composited_on_white_as_decoding_does(spark: SparkSession, mode: str, ink: bool) -> None:
    bgra = noise(3, 20, 50, 4)
    bgra[:7, ..., 3] = 0  # invisible
    hidden = bgra.copy()
    hidden[:7, ..., :3] = noise(4, 7, 50, 3)
    decoded = decode(encode(bgra[..., [2, 1, 0, 3]], "PNG"))
    assert isinstance(decoded, np.ndarray)
    frame = image_rows(spark, [bgra, hidden, decoded, bgra[..., :3]])
    if ink:
        frame = InkNormalizer(inputCol="image", outputCol="image").transform(frame)
    features = features_of(small(colorMode=mode), frame)
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_array_equal(features[0], features[2])
    assert not np.array_equal(features[0], features[3])


@pytest.mark.parametrize("hint", SCALE_HINTS)
def test_images_are_resized_as_the_scale_hint_says(spark: SparkSession, hint: str) -> None:
    image = noise(1, 50, 41, 3)
    resized = np.asarray(Image.fromarray(image).resize((32, 32), SCALE_HINTS[hint]))
    features = features_of(small(scaleHint=hint), image_rows(spark, [image, resized]))
    np.testing.assert_allclose(features[0], features[1], rtol=0, atol=1e-5)


def test_images_come_as_spark_reads_them(spark: SparkSession, tmp_path: Path) -> None:
    pictures = [noise(1, 32, 32, 3), noise(2, 20, 45, 3), noise(3, 25, 25, 1)[..., 0], noise(4, 30, 30, 4)]
    for row, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{row}.png")
    read = spark.read.format("image").load(str(tmp_path))
    frame = read.withColumn("id", F.regexp_extract("image.origin", r"(\d+)\.png", 1).cast("int"))

    received = features_of(small(), frame)

    # RGB in the files, BGR in Spark's rows.
    rows = [np.atleast_3d(picture) for picture in pictures]
    rows = [row if row.shape[2] == 1 else row[..., [2, 1, 0, 3][: row.shape[2]]] for row in rows]
    np.testing.assert_array_equal(received, features_of(small(), image_rows(spark, rows)))


def test_features_are_dense_vectors_that_classifiers_take(spark: SparkSession) -> None:
    frame = small(pooling="average").transform(image_rows(spark, [noise(1, 32, 32, 3)]))
    assert frame.schema["features"].dataType == frame.select(array_to_vector(F.array(F.lit(1.0)))).schema[0].dataType
    assert type(frame.head().features).__name__ == "DenseVector"


def test_a_stream_gets_the_features_that_a_batch_gets(spark: SparkSession, tmp_path: Path) -> None:
    batch = image_rows(spark, [noise(seed, 30 + seed, 40, 3) for seed in range(5)])
    batch.write.parquet(f"{tmp_path}/images")
    stream = spark.readStream.schema(batch.schema).option("maxFilesPerTrigger", 1).parquet(f"{tmp_path}/images")
    writer = small().transform(stream).writeStream.format("memory").queryName("features_of_a_stream")
    query = writer.option("checkpointLocation", f"{tmp_path}/checkpoint").trigger(availableNow=True).start()
    query.awaitTermination()
    rows = spark.table("features_of_a_stream").orderBy("id").collect()
    np.testing.assert_array_equal([row.features.toArray() for row in rows], features_of(small(), batch))


def test_in_grayscale_gray_images_have_the_same_features_and_others_lose_their_colours(spark: SparkSession) -> None:
    colour = noise(1, 32, 32, 3)
    gray = to_gray(colour)[..., np.newaxis]
    expected = features_of(small(pooling="average"), image_rows(spark, [gray]))
    received = features_of(small(pooling="average", colorMode="grayscale"), image_rows(spark, [gray, colour]))
    np.testing.assert_allclose(received, expected.repeat(2, axis=0), rtol=0, atol=1e-4)


# --- Requests that cannot be met -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: small(modelName="InceptionV4"), "unknown network 'InceptionV4': did you mean InceptionV3"),
        (lambda: small(scaleHint="SCALE_SMOOT"), "unknown scaleHint 'SCALE_SMOOT': did you mean SCALE_SMOOTH"),
        (lambda: small(colorMode="gray"), "unknown colorMode 'gray': did you mean grayscale"),
        (lambda: small(inputSize=0), "expected inputSize as pixels, N or [height, width], received 0"),
        (lambda: small(inputSize=[1, 2, 3]), "expected inputSize as pixels, N or [height, width], received [1, 2, 3]"),
        (lambda: small(pooling="3x2"), "expected pooling 'none', 'average' or a square grid such as '3x3', received"),
        (lambda: small(pooling="0x0"), "expected pooling 'none', 'average' or a square grid such as '3x3', received"),
        (lambda: small(tapLayers=["blok4"]).network(), "unknown tap layer 'blok4': did you mean block4"),
        (lambda: small(tapLayers=[]).network(), "expected one or more different tap layers, received []"),
        (lambda: small(tapLayers=["head"] * 2).network(), "expected one or more different tap layers, received ['head"),
        (
            lambda: small(pooling="5x5").network(),
            "pooling '5x5' asks for more cells than layer 'block4' has at input size (32, 32): 4 x 4",
        ),
        (
            lambda: small(weights="nowhere/lite0.pth").network(),
            "no such file of weights for EfficientNetLite0: nowhere/lite0.pth",
        ),
        (
            lambda: DeepImageFeaturizer(inputCol="image", outputCol="features").network(),
            "DeepImageFeaturizer needs modelName, one of InceptionV3, Xception",
        ),
    ],
)
def test_a_wrong_request_is_answered_in_one_line(attempt: Callable[[], object], message: str) -> None:
    with pytest.raises(RequestError, match=f"^{re.escape(message)}") as raised:
        attempt()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"inputCol": "picture"}, "expected a column 'picture' of images, received columns id, image"),
        ({"inputCol": "id"}, "expected column 'id' of Spark's image schema, as sparkdl.read_images gives it,"),
    ],
)
def test_a_column_without_images_is_refused_before_any_work(
    spark: SparkSession, params: dict[str, str], message: str
) -> None:
    with pytest.raises(RequestError, match=f"^{re.escape(message)}"):
        small(**params).transform(image_rows(spark, [noise(1, 8, 8, 3)]))


@pytest.mark.parametrize("missing", ["inputCol", "modelName"])
def test_a_stage_without_a_param_that_it_needs_says_which(spark: SparkSession, missing: str) -> None:
    params = {"inputCol": "image", "modelName": "EfficientNetLite0"}
    del params[missing]
    with pytest.raises(RequestError, match=f"^DeepImageFeaturizer needs {missing}"):
        DeepImageFeaturizer(**params).transform(image_rows(spark, [noise(1, 8, 8, 3)]))


def test_without_outputCol_the_column_is_named_after_the_stage_as_in_spark(spark: SparkSession) -> None:
    stage = DeepImageFeaturizer(inputCol="image", modelName="EfficientNetLite0", inputSize=32, tapLayers=["block4"])
    assert stage.transform(image_rows(spark, [noise(1, 8, 8, 3)])).columns[-1] == f"{stage.uid}__output"


def test_an_undefined_image_is_named_by_its_origin(spark: SparkSession) -> None:
    undefined = spark.createDataFrame(
        [(0, ("file:/broken.png", -1, -1, -1, -1, bytearray()))], f"id int, image {IMAGE_TYPE.simpleString()}"
    )
    message = r"image 'file:/broken.png' is null or undefined \(mode -1\); drop such rows before this stage"
    with pytest.raises(PythonException, match=message):
        small().transform(undefined).collect()


def test_a_null_image_is_refused_with_what_to_do(spark: SparkSession) -> None:
    null = spark.createDataFrame([(0, None)], f"id int, image {IMAGE_TYPE.simpleString()}")
    with pytest.raises(PythonException, match=r"image None is null or undefined \(mode -1\); drop such rows"):
        small().transform(null).collect()
