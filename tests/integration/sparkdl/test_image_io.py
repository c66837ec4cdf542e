"""Promises of `sparkdl.imageIO`: the functions of the original, with arrays and rows that fit each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images import image_rows, noise
from PIL import Image
from pyspark.sql import SparkSession

from sparkdl import imageIO
from sparkdl.errors import RequestError


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_becomes_a_row_and_comes_back(channels: int, dtype: type) -> None:
    array = noise(channels, 4, 5, channels).astype(dtype)
    row = imageIO.imageArrayToStruct(array[np.newaxis], origin="x")
    assert (row.origin, row.height, row.width, row.nChannels) == ("x", 4, 5, channels)
    assert imageIO.imageTypeByOrdinal(row.mode).dtype == np.dtype(dtype).name
    np.testing.assert_array_equal(imageIO.imageStructToArray(row), array)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_pillow_image_becomes_a_row_and_comes_back(mode: str) -> None:
    image = Image.fromarray(noise(1, 4, 5, 4), "RGBA").convert(mode)
    array = imageIO.PIL_to_imageStruct(image)
    assert imageIO.imageStructToPIL(imageIO.imageArrayToStruct(array)).tobytes() == image.tobytes()
    if mode != "L":
        np.testing.assert_array_equal(array[:, :, 0], np.asarray(image)[:, :, 2])  # blue is first


def test_modes_are_those_of_opencv() -> None:
    numbers = {"CV_8UC1": 0, "CV_32FC1": 5, "CV_8UC3": 16, "CV_32FC3": 21, "CV_8UC4": 24, "CV_32FC4": 29}
    assert {name: imageIO.imageTypeByName(name).ord for name in numbers} == numbers
    with pytest.raises(KeyError, match="received 7"):
        imageIO.imageTypeByOrdinal(7)
    with pytest.raises(KeyError, match="received 'CV_64FC1'"):
        imageIO.imageTypeByName("CV_64FC1")


def test_channels_are_put_into_the_order_of_the_schema() -> None:
    rgb = noise(2, 2, 2, 3)
    np.testing.assert_array_equal(imageIO.fixColorChannelOrdering("RGB", rgb), rgb[:, :, ::-1])
    assert imageIO.fixColorChannelOrdering("BGR", rgb) is rgb
    with pytest.raises(RequestError, match="expected one channel for order L"):
        imageIO.fixColorChannelOrdering("L", rgb)
    with pytest.raises(RequestError, match="unknown order of channels 'GBR'"):
        imageIO.fixColorChannelOrdering("GBR", rgb)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 4, 5, 3), np.uint8), "expected one image"),
        (np.zeros((4, 5, 2), np.uint8), r"received uint8 \[4, 5, 2\]"),
        (np.zeros((4, 5, 3), np.int64), r"received int64 \[4, 5, 3\]"),
    ],
)
def test_an_array_that_is_no_image_is_refused(array: np.ndarray, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        imageIO.imageArrayToStruct(array)


def test_a_column_of_images_is_resized(spark: SparkSession) -> None:
    pictures = [noise(seed, 6, 4, 3) for seed in range(2)]
    resize = imageIO.createResizeImageUDF((3, 2))
    rows = image_rows(spark, pictures).select("id", resize("image").alias("small")).orderBy("id").collect()
    for row, picture in zip(rows, pictures, strict=True):
        expected = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).resize((2, 3))
        assert imageIO.imageStructToPIL(row.small).tobytes() == expected.tobytes()


def test_files_are_read_and_decoded_by_a_function(spark: SparkSession, tmp_path: Path) -> None:
    Image.fromarray(noise(0, 6, 4, 3)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")

    files = imageIO.filesToDF(spark.sparkContext, str(tmp_path)).collect()
    assert sorted(Path(row.filePath).name for row in files) == ["a.png", "b.png"]
    assert bytes(next(row.fileData for row in files if row.filePath.endswith("b.png"))) == b"no image"

    decode = imageIO.PIL_decode_and_resize((2, 3))
    images = [row.image for row in imageIO.readImagesWithCustomFn(str(tmp_path), decode, 1).collect()]
    (image,) = [image for image in images if image is not None]
    assert (image.height, image.width, len(images)) == (3, 2, 2)
    whole = imageIO.readImagesWithCustomFn(str(tmp_path / "a.png"), imageIO.PIL_decode).first()
    assert whole is not None
    np.testing.assert_array_equal(imageIO.imageStructToArray(whole.image)[:, :, ::-1], noise(0, 6, 4, 3))
