"""Promises of the stages and functions that apply a Keras model: what Keras computes, without Keras in a worker.

Slow: TensorFlow converts each model in a separate process, which takes 5 s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from image_networks import identity_network
from images import image_rows
from keras_models import SHAPE, write_models
from needs import need
from numpy.typing import NDArray
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from queries import streamed

from sparkdl import KerasImageFileTransformer, KerasTransformer, imageIO, registerKerasImageUDF
from sparkdl.errors import RequestError
from sparkdl.models.allowlist import check_pipeline
from sparkdl.transformers.image_loading import ImageLoader

need(find_spec("tensorflow"), "Keras models are converted with TensorFlow, the optional extra `keras`")
pytestmark = pytest.mark.slow


class Models(NamedTuple):
    """A directory of models and image files, and what Keras makes of them."""

    directory: Path
    expected: Mapping[str, NDArray[Any]]

    def path(self, name: str) -> str:
        return str(self.directory / name)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    directory = tmp_path_factory.mktemp("keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPARKDL_CACHE_DIR", str(directory / "cache"))
        write_models(directory)
        with np.load(directory / "expected.npz") as file:
            expected = dict(file)
        for row, image in enumerate(expected["images"]):
            Image.fromarray(image).save(directory / f"{row}.png")
        yield Models(directory, expected)


@pytest.fixture
def uris(spark: SparkSession, models: Models) -> DataFrame:
    """The image files, one by its path and the others by their URI, one that is missing, one that is none, and null."""
    (models.directory / "broken.png").write_bytes(b"no image")
    names = [models.path("0.png"), *(f"file:{models.path(f'{row}.png')}" for row in range(1, 6))]
    names += [models.path("missing.png"), models.path("broken.png"), None]
    return spark.createDataFrame(list(enumerate(names)), "id long, uri string")


def dividing(divisor: float) -> ImageLoader:
    """A loader that divides pixels; a function of a function, as workers cannot import this module."""

    def load(uri: str) -> NDArray[np.float32]:
        with Image.open(uri.removeprefix("file:")) as image:
            return np.asarray(image, np.float32)[np.newaxis] / divisor

    return load


def vectors(frame: DataFrame, column: str = "scores") -> tuple[NDArray[np.float64], list[int]]:
    """The vectors of the rows that have one, in order, and the numbers of the others."""
    rows: list[Any] = frame.orderBy("id").collect()
    there = [row[column] for row in rows if row[column] is not None]
    return np.array([np.asarray(value) for value in there]), [row.id for row in rows if row[column] is None]


@pytest.mark.parametrize("name", ["image.keras", "image.h5"])
def test_files_are_decoded_and_give_what_keras_gives(models: Models, uris: DataFrame, name: str) -> None:
    stage = KerasImageFileTransformer(inputCol="uri", outputCol="scores", modelFile=models.path(name))
    received, missing = vectors(stage.transform(uris))
    np.testing.assert_allclose(received, models.expected["classes"], atol=1e-5)
    assert missing == [6, 7, 8]


def test_a_loader_gives_the_model_its_arrays(models: Models, uris: DataFrame) -> None:
    stage = KerasImageFileTransformer(inputCol="uri", outputCol="scores", modelFile=models.path("image.keras"))
    received, missing = vectors(stage.setImageLoader(dividing(2)).transform(uris))
    np.testing.assert_allclose(received, models.expected["scaled"], atol=1e-5)
    assert missing == [6, 7, 8]


def test_an_error_of_a_loader_is_an_error_that_names_the_file(models: Models, uris: DataFrame) -> None:
    def wrong(uri: str) -> NDArray[np.float32]:
        return np.zeros(3, np.float32)

    stage = KerasImageFileTransformer(
        inputCol="uri", outputCol="scores", modelFile=models.path("image.keras"), imageLoader=wrong
    )
    with pytest.raises(Exception, match=r"imageLoader: expected \[1, H, W, C\] or \[H, W, C\] of .*\.png"):
        stage.transform(uris).collect()


def test_images_that_come_out_are_images(models: Models, uris: DataFrame) -> None:
    stage = KerasImageFileTransformer(
        inputCol="uri",
        outputCol="scores",
        modelFile=models.path("float.keras"),
        imageLoader=dividing(255),
        outputMode="image",
    )
    first = stage.transform(uris).orderBy("id").first()
    assert first is not None
    received = imageIO.imageStructToArray(first.scores)[:, :, ::-1]
    np.testing.assert_allclose(received, models.expected["pixels"][0], atol=1e-5)
    with pytest.raises(RequestError, match="received None x None x None x 3: set imageLoader"):
        KerasImageFileTransformer(inputCol="uri", modelFile=models.path("float.keras")).transform(uris)


def test_a_loaded_stage_needs_no_model_file_and_asks_for_its_loader_again(
    models: Models, uris: DataFrame, tmp_path: Path
) -> None:
    plain = KerasImageFileTransformer(inputCol="uri", outputCol="scores", modelFile=models.path("image.h5"))
    plain.setImageLoader(dividing(2)).save(f"{tmp_path}/loader")

    again = KerasImageFileTransformer.load(f"{tmp_path}/loader")

    (metadata,) = (tmp_path / "loader" / "metadata").glob("part-*")
    assert '"imageLoader"' not in metadata.read_text()
    with pytest.raises(RequestError, match="was saved with an imageLoader: set it again"):
        again.transform(uris)
    np.testing.assert_allclose(
        vectors(again.setImageLoader(dividing(2)).transform(uris))[0], models.expected["scaled"], atol=1e-5
    )


def test_a_stream_of_files_gives_the_rows_of_a_batch(models: Models, uris: DataFrame, tmp_path: Path) -> None:
    stage = KerasImageFileTransformer(inputCol="uri", outputCol="scores", modelFile=models.path("image.keras"))
    rows = streamed(uris, stage.transform, tmp_path)
    assert sorted(rows, key=lambda row: row.id) == stage.transform(uris).orderBy("id").collect()


def test_arrays_and_vectors_give_what_keras_gives_saved_or_streamed(
    spark: SparkSession, models: Models, tmp_path: Path
) -> None:
    rows = [(row, values.tolist()) for row, values in enumerate(models.expected["rows"])]
    frame = spark.createDataFrame([*rows, (7, None)], "id long, features array<double>")
    stage = KerasTransformer(inputCol="features", outputCol="scores", modelFile=models.path("table.keras"))
    PipelineModel([stage]).save(f"{tmp_path}/saved")
    check_pipeline("saved", tmp_path / "saved")

    for transformer in (stage, PipelineModel.load(f"{tmp_path}/saved")):
        result = transformer.transform(frame)
        assert result.schema["scores"].dataType.simpleString() == "array<float>"
        received, missing = vectors(result)
        np.testing.assert_allclose(received, models.expected["scores"], atol=1e-5)
        assert missing == [7]
        by_id = sorted(streamed(frame, transformer.transform, tmp_path), key=lambda row: row.id)
        assert by_id == result.orderBy("id").collect()


def test_a_model_is_a_function_of_sql_for_images_and_for_files(
    spark: SparkSession, models: Models, tmp_path: Path
) -> None:
    images = image_rows(spark, [image[:, :, ::-1] for image in models.expected["images"]])
    files = spark.read.format("binaryFile").load([models.path(f"{row}.png") for row in range(6)])
    files = files.select(F.regexp_extract("path", r"(\d)\.png", 1).cast("long").alias("id"), "content")
    frame = images.join(files, "id")
    score = registerKerasImageUDF("score", models.path("image.keras"))
    halved = registerKerasImageUDF("halved", models.path("image.keras"), dividing(2))
    assert callable(halved)
    frame.createOrReplaceTempView("images")

    rows = spark.sql("SELECT id, score(image) AS a, score(content) AS b, halved(image) AS c FROM images")

    for column, expected in (("a", "classes"), ("b", "classes"), ("c", "scaled")):
        np.testing.assert_allclose(vectors(rows, column)[0], models.expected[expected], atol=1e-5)
    called = frame.select("id", score("image").alias("scores"))
    np.testing.assert_allclose(vectors(called)[0], models.expected["classes"], atol=1e-5)

    def apply(stream: DataFrame) -> DataFrame:
        stream.createOrReplaceTempView("arriving")
        return spark.sql("SELECT id, score(image) AS scores FROM arriving")

    arrived = sorted(streamed(images, apply, tmp_path), key=lambda row: row.id)
    np.testing.assert_allclose([row.scores for row in arrived], models.expected["classes"], atol=1e-5)


def test_a_file_of_another_kind_or_shape_is_refused(models: Models, uris: DataFrame, tmp_path: Path) -> None:
    onnx = identity_network(tmp_path / "x.onnx", ["N", *SHAPE])
    for path, words in (
        (str(onnx), r"expected a Keras model, a file \.keras or \.h5 or \.hdf5, received '.*x\.onnx'"),
        ("nowhere.keras", r"no such Keras model: nowhere\.keras"),
        (models.path("table.keras"), "received None x 5: set imageLoader"),
    ):
        with pytest.raises(RequestError, match=words):
            KerasImageFileTransformer(inputCol="uri", modelFile=path).transform(uris)
    with pytest.raises(RequestError, match="KerasTransformer needs modelFile"):
        KerasTransformer(inputCol="uri").transform(uris)
