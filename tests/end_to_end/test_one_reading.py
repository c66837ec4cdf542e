"""Promise of the package: a picture has the same features and probabilities, to the last bit, however it comes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run_command
from images import image_rows, noise
from numpy.typing import NDArray
from pictures import encode, png
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegression, RandomForestClassifier
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from streams import Place, rows_of

from sparkdl import DeepImageFeaturizer, InkNormalizer, Rejected, decode, read_images
from sparkdl.images.schema import struct_to_arrays
from sparkdl.inference.classifier import Classifier, FusedClassifier, PipelineClassifier, decode_rows
from sparkdl.inference.heads import softmax
from sparkdl.models.registry import Registry
from streaming.sources.directory.source import DirectorySource

HEIGHT, WIDTH = 37, 52
COLOUR = noise(1, HEIGHT, WIDTH, 3) // 4 * 3 + np.linspace(0, 63, WIDTH).astype(np.uint8)[:, np.newaxis]
ALPHA = noise(2, HEIGHT, WIDTH)


def in_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(COLOUR, "JPEG", exif=exif)


def palette(*, alpha: bool) -> bytes:
    picture = Image.fromarray(COLOUR).quantize(64)
    return encode(picture, "PNG", **({"transparency": bytes(range(0, 256, 4))} if alpha else {}))


def rgb_of_16_bits() -> bytes:
    wide = COLOUR.astype(">u2") * 257
    return png(WIDTH, HEIGHT, 16, 2, [row.tobytes() for row in wide])


PICTURES: dict[str, bytes] = {
    **{f"exif-{orientation}.jpg": in_orientation(orientation) for orientation in range(1, 9)},
    "palette.png": palette(alpha=False),
    "palette-alpha.png": palette(alpha=True),
    "gray-alpha.png": encode(Image.merge("LA", [Image.fromarray(COLOUR[..., 0]), Image.fromarray(ALPHA)]), "PNG"),
    "rgba.png": encode(np.dstack([COLOUR, ALPHA]), "PNG"),
    "cmyk.jpg": encode(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"),
    "gray-16.png": encode(COLOUR[..., 0].astype(np.uint16) * 257, "PNG"),
    "gray-16.tif": encode(COLOUR[..., 0].astype(np.uint16) * 257, "TIFF"),
    "rgb-16.png": rgb_of_16_bits(),
    "_DSC0001.JPG": encode(COLOUR, "JPEG"),
    "large.png": encode(Image.fromarray(COLOUR).resize((1300, 1000)), "PNG", compress_level=1),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, Registry(tmp_path / "none"))
    place.watched.mkdir()
    for name, payload in PICTURES.items():
        (place.watched / name).write_bytes(payload)
    return place


def stages(spark: SparkSession, ink: bool, kind: Callable[..., Any] = LogisticRegression, **params: Any) -> list[Any]:
    """The stages of a pipeline of three classes that has learnt noise: an ink crop if asked for, a network, a head."""
    first = [InkNormalizer(inputCol="image", outputCol="ink")] if ink else []
    featurizer = DeepImageFeaturizer(
        inputCol="ink" if ink else "image",
        outputCol="features",
        modelName="EfficientNetLite0",
        inputSize=32,
        pooling="average",
        colorMode="grayscale" if ink else "color",
    )
    noisy = image_rows(spark, [noise(i, 24, 24, 3) for i in range(12)]).withColumn("label", F.col("id") % 3)
    return [*first, featurizer, kind(**params).fit(PipelineModel([*first, featurizer]).transform(noisy))]


def named(rows: list[Any], column: str) -> dict[str, NDArray[np.float64]]:
    return {Path(row.name).name: np.array(row[column]) for row in rows}


def batch(spark: SparkSession, place: Place, pipeline: PipelineModel, column: str) -> dict[str, NDArray[np.float64]]:
    """What a pipeline makes of the pictures as `read_images` reads them."""
    rows = pipeline.transform(read_images(spark, place.watched)).select(
        F.col("origin").alias("name"), vector_to_array(column).alias(column)
    )
    return named(rows.collect(), column)


def assert_equal(received: dict[str, NDArray[np.float64]], expected: dict[str, NDArray[np.float64]]) -> None:
    assert set(received) == set(expected) == set(PICTURES)
    for name in PICTURES:
        np.testing.assert_array_equal(received[name], expected[name], err_msg=name)
    assert len({values.tobytes() for values in received.values()}) > len(PICTURES) / 2  # they tell pictures apart


@pytest.mark.parametrize("ink", [False, True])
def test_features_are_the_same_in_batch_and_on_a_stream(spark: SparkSession, place: Place, ink: bool) -> None:
    pipeline = PipelineModel(stages(spark, ink, maxIter=1)[:-1])
    records = DirectorySource(place.watched, stable_after=0.1).open(spark, place.checkpoint, 7)
    streamed: DataFrame = pipeline.transform(decode_rows(records, "image")).select(
        F.col("_input_record.id").alias("name"), vector_to_array("features").alias("features")
    )
    table = f"features_{ink}"
    writer = streamed.writeStream.format("memory").queryName(table).option("checkpointLocation", str(place.checkpoint))
    writer.trigger(availableNow=True).start().awaitTermination()
    assert_equal(named(spark.table(table).collect(), "features"), batch(spark, place, pipeline, "features"))


@pytest.mark.parametrize("ink", [False, True])
def test_a_fused_stream_and_predict_take_the_features_of_the_batch(
    spark: SparkSession, place: Place, ink: bool
) -> None:
    made = stages(spark, ink, maxIter=5, regParam=0.1)
    pipeline = PipelineModel(made)
    saved = place.root / "model"
    pipeline.write().save(str(saved))
    classifier = Classifier.load(saved)
    assert isinstance(classifier, FusedClassifier)
    features = batch(spark, place, PipelineModel(made[:-1]), "features")
    expected = {
        name: softmax(values[np.newaxis].astype(np.float32), classifier.model.head)[0]
        for name, values in features.items()
    }

    place.run_to_the_end(spark, model=str(saved))
    streamed = {row["id"]: np.array([p for _, p in row["probabilities"]]) for row in rows_of(place.sink)}
    answer = run_command("predict", *place.watched.iterdir(), "--model", saved, "--format", "json")

    assert_equal(streamed, expected)
    assert answer.code == 0, answer.err
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert_equal({Path(row["id"]).name: np.array(list(row["probabilities"].values())) for row in rows}, expected)


def test_a_stream_that_is_not_fused_has_the_probabilities_of_the_batch(spark: SparkSession, place: Place) -> None:
    pipeline = PipelineModel(stages(spark, False, RandomForestClassifier, numTrees=5, seed=1))
    saved = place.root / "model"
    pipeline.write().save(str(saved))
    assert isinstance(Classifier.load(saved), PipelineClassifier)
    expected = batch(spark, place, pipeline, "probability")

    place.run_to_the_end(spark, model=str(saved))

    streamed = {row["id"]: np.array([p for _, p in row["probabilities"]]) for row in rows_of(place.sink)}
    assert set(streamed) == set(PICTURES)
    for name, probabilities in streamed.items():
        np.testing.assert_array_equal(probabilities, expected[name], err_msg=name)


def test_one_image_is_decoded_as_many_are(spark: SparkSession, place: Place) -> None:
    table = read_images(spark, place.watched).toArrow()
    images = table["image"].combine_chunks()
    names = [origin.as_py().rsplit("/", 1)[1] for origin in table["origin"]]
    assert sorted(names) == sorted(PICTURES)
    for name, array in zip(names, struct_to_arrays(images), strict=True):
        alone = decode(PICTURES[name])
        assert array is not None
        assert not isinstance(alone, Rejected)
        np.testing.assert_array_equal(array, alone, err_msg=name)
