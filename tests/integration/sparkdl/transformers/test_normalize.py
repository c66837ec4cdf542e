"""Promises of `sparkdl.transformers.ink_normalizer`: any handwriting becomes bright ink filling a black square."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from images import image_rows, noise
from PIL import Image
from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from sparkdl import InkNormalizer
from sparkdl.decoding.decode import decode
from sparkdl.errors import RequestError
from sparkdl.images.ink import normalize_ink
from sparkdl.images.pixels import to_gray
from sparkdl.images.rejection import Rejected
from sparkdl.images.schema import IMAGE_TYPE
from sparkdl.inference.classifier import Classifier
from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset, open_dataset

Gray = np.ndarray[Any, np.dtype[np.uint8]]
IMAGES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24))
FEW_LEVELS = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 5))


def stroke(side: int = 60, top: int = 10, left: int = 15, scale: int = 1) -> Gray:
    """A hooked stroke of two greys, 30 x 20 pixels times `scale`, on black."""
    image = np.zeros((side, side), np.uint8)
    shape = np.zeros((30, 20), np.uint8)
    shape[:, 8:12] = 200
    shape[24:, :12] = 200
    shape[:4, 12:] = 120
    shape = shape.repeat(scale, axis=0).repeat(scale, axis=1)
    image[top : top + shape.shape[0], left : left + shape.shape[1]] = shape
    return image


# --- the function --------------------------------------------------------------------------------------------------


@given(gray=IMAGES | FEW_LEVELS)
# Dark and bright ink of the same weight, 3 x 3 + 4 x 4 = 5 x 5, and of different shapes.
@example(gray=np.array([[9, 9, 9, 9, 9], [9, 6, 5, 14, 9], [9, 9, 9, 9, 9]], np.uint8))
@settings(deadline=None, max_examples=300)
def test_an_image_and_its_negative_give_the_same_bytes(gray: Gray) -> None:
    one, other = normalize_ink(gray), normalize_ink(255 - gray)
    assert one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@given(gray=IMAGES, margin=st.sampled_from([0.0, 0.1, 0.5]))
@settings(deadline=None)
def test_it_is_a_square_of_uint8_whatever_comes(gray: Gray, margin: float) -> None:
    square = normalize_ink(gray, margin)
    assert square.dtype == np.uint8
    assert square.shape[0] == square.shape[1] <= max(gray.shape) * (1 + 2 * margin) + 1
    assert square.max() in (0, 255)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.25])
def test_ink_fills_the_square_but_for_its_margin(margin: float) -> None:
    square = normalize_ink(stroke(), margin)
    pad = round(30 * margin)
    assert square.shape == (30 + 2 * pad, 30 + 2 * pad)
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    assert (rows[0], rows[-1]) == (pad, pad + 29)
    # The narrower side is in the middle.
    assert (columns[0], columns[-1]) == (pad + 5, pad + 24)


def test_the_position_of_the_ink_does_not_matter() -> None:
    expected = normalize_ink(stroke())
    for top, left in ((1, 1), (29, 39), (3, 20)):
        np.testing.assert_array_equal(normalize_ink(stroke(top=top, left=left)), expected)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_size_of_the_ink_does_not_matter_but_for_resolution(scale: int) -> None:
    expected = normalize_ink(stroke()).repeat(scale, axis=0).repeat(scale, axis=1)
    np.testing.assert_array_equal(normalize_ink(stroke(side=60 * scale, scale=scale)), expected)


def test_contrast_and_paper_do_not_matter() -> None:
    expected = normalize_ink(stroke())
    faint = 90 + stroke() // 10
    np.testing.assert_allclose(normalize_ink(faint).astype(int), expected.astype(int), atol=1)
    assert expected.max() == 255


def test_faint_specks_are_left_outside() -> None:
    specked = stroke()
    specked[2, 50] = 60  # less than 0.35 of the strongest ink
    np.testing.assert_array_equal(normalize_ink(specked), normalize_ink(stroke()))


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 9)])
@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_blank_image_stays_blank(shape: tuple[int, int], level: int) -> None:
    square = normalize_ink(np.full(shape, level, np.uint8))
    assert square.shape == (max(shape), max(shape))
    assert not square.any()


@pytest.mark.parametrize("margin", [0.0, 0.1, 2.0])
def test_the_square_of_a_long_line_has_a_bounded_side(margin: float) -> None:
    line = np.full((3, 1_000_000), 255, np.uint8)
    line[1, 10:-10] = 0
    square = normalize_ink(line, margin)
    assert 512 < square.shape[0] <= 1024
    assert square.shape[0] == square.shape[1]
    assert square.max() > 0


def test_a_long_blank_stays_a_small_blank() -> None:
    assert normalize_ink(np.full((1, 1_000_000), 9, np.uint8)).shape == (1024, 1024)


def test_one_row_is_put_in_the_middle_of_a_square() -> None:
    row = np.array([[0, 0, 0, 0, 0, 9, 9, 9, 0, 0]], np.uint8)
    assert normalize_ink(row, margin=0).tolist() == [[0, 0, 0], [255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize("source", ["numta500", "isi500", "numtadb"])
def test_real_handwriting_ends_bright_on_black(numtadb_home: Path, source: str) -> None:
    images = [decode(image.read()) for image in open_dataset(str(numtadb_home / source))]
    assert len(images) == {"numta500": 500, "isi500": 500, "numtadb": 41}[source]
    for image in images:
        assert not isinstance(image, Rejected)
        square = normalize_ink(to_gray(image), margin=0)
        assert square.max() == 255
        # Of the tightest square a thick stroke takes half; paper would take more.
        assert np.mean(square > 127) < 0.55


# --- the stage -----------------------------------------------------------------------------------------------------


def ink_of(stage: InkNormalizer, frame: Any) -> list[Any]:
    return [row.ink for row in stage.transform(frame).orderBy("id").collect()]


def test_the_stage_does_what_the_function_does_with_one_three_and_four_channels(spark: SparkSession) -> None:
    pictures = [noise(1, 9, 14, 1), noise(2, 8, 8, 3), noise(3, 10, 7, 4)]
    frame = image_rows(spark, pictures)

    inks = ink_of(InkNormalizer(inputCol="image", outputCol="ink", margin=0.2), frame)

    for row, (ink, picture) in enumerate(zip(inks, pictures, strict=True)):
        expected = normalize_ink(to_gray(picture), 0.2)
        assert (ink.height, ink.width, ink.nChannels, ink.mode) == (*expected.shape, 1, 0)
        assert bytes(ink.data) == expected.tobytes()
        assert ink.origin == f"file:/{row}.png"


def test_a_null_image_stays_null(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(0, None)], f"id int, image {IMAGE_TYPE.simpleString()}")
    assert ink_of(InkNormalizer(inputCol="image", outputCol="ink"), frame) == [None]


def test_the_columns_may_be_the_same(spark: SparkSession) -> None:
    frame = InkNormalizer(inputCol="image", outputCol="image").transform(image_rows(spark, [noise(1, 9, 9, 3)]))
    assert frame.columns == ["id", "image"]
    assert frame.head().image.nChannels == 1


def test_a_saved_stage_comes_back(spark: SparkSession, tmp_path: Path) -> None:
    stage = InkNormalizer().setInputCol("image").setOutputCol("ink").setMargin(0.3)
    PipelineModel([stage]).write().save(f"{tmp_path}/pipeline")
    (loaded,) = PipelineModel.load(f"{tmp_path}/pipeline").stages
    assert (loaded.uid, loaded.getInputCol(), loaded.getOutputCol(), loaded.getMargin()) == (
        stage.uid,
        "image",
        "ink",
        0.3,
    )
    frame = image_rows(spark, [noise(1, 9, 14, 1)])
    assert ink_of(loaded, frame) == ink_of(stage, frame)


def test_wrong_requests_are_answered_in_one_line(spark: SparkSession) -> None:
    frame = image_rows(spark, [noise(1, 9, 9, 3)])
    with pytest.raises(RequestError, match=r"^expected margin in 0..2, a fraction of .*, received -1$"):
        InkNormalizer(margin=-1)
    with pytest.raises(RequestError, match=r"^InkNormalizer needs inputCol$"):
        InkNormalizer(outputCol="ink").transform(frame)
    with pytest.raises(RequestError, match=r"^expected a column 'picture' of images, received columns id, image$"):
        InkNormalizer(inputCol="picture", outputCol="ink").transform(frame)
    assert InkNormalizer(margin=None).getMargin() == 0.1


@pytest.fixture(scope="module")
def classifier(spark: SparkSession, model: ModelVersion) -> Classifier:
    return model.load()


def test_a_digit_and_its_negative_get_the_same_prediction(
    spark: SparkSession, classifier: Classifier, drawn: Dataset
) -> None:
    rows = []
    for image in list(drawn)[::20]:
        pixels = np.asarray(Image.open(io.BytesIO(image.read())).convert("L"))
        for polarity, variant in (("as drawn", pixels), ("negative", 255 - pixels)):
            file = io.BytesIO()
            Image.fromarray(variant).save(file, "PNG")
            rows.append((image.name, polarity, f"file:/{image.name}", file.getvalue()))
    encoded = spark.createDataFrame(rows, "name string, polarity string, origin string, payload binary")

    classified = classifier.classify(encoded).collect()

    answers = {(row.name, row.polarity): (row.prediction, row.probabilities) for row in classified}
    assert len(answers) == 40
    for name, polarity in answers:
        assert answers[name, polarity] == answers[name, "negative"]
        assert answers[name, polarity][0] is not None
