"""Promises of `training.fitting.augmentation`: augmented handwriting is other handwriting of the same character."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pyspark.sql import SparkSession

from sparkdl.decoding.decode import decode
from sparkdl.images.pixels import to_gray
from sparkdl.models.registry import ModelVersion
from training.data.loading import Dataset, LabelledImage
from training.data.synthetic.digits import draw_png
from training.evaluation.evaluate import evaluate
from training.fitting.augmentation import SIDE, augment


def png(gray: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


def drawn(digit: int, seed: int = 1) -> np.ndarray:
    pixels = decode(draw_png(digit, seed))
    assert isinstance(pixels, np.ndarray)
    return to_gray(pixels)


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))), st.integers(0, 2**32 - 1))
def test_any_picture_can_be_augmented(gray: np.ndarray, seed: int) -> None:
    augmented = augment(gray, np.random.default_rng(seed))
    assert (augmented.dtype, augmented.shape) == (np.uint8, (SIDE, SIDE))


def test_the_same_seed_gives_the_same_augmentation_and_another_seed_another() -> None:
    first, again, other = (augment(drawn(4), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_picture_itself_is_left_as_it_is() -> None:
    gray = drawn(7)
    before = gray.copy()
    augment(gray, np.random.default_rng(0))
    assert np.array_equal(gray, before)


def test_augmented_digits_are_classified_as_their_originals(spark: SparkSession, model: ModelVersion) -> None:
    pictures = []
    for digit in range(10):
        for seed in range(20):
            augmented = augment(drawn(digit, 1000 + seed), np.random.default_rng(seed))
            pictures.append(LabelledImage(f"{digit}/{seed}.png", str(digit), payload=png(augmented)))
    evaluation = evaluate(spark, model.load(), Dataset("augmented", tuple(pictures)))
    assert evaluation.metrics["accuracy"] > 0.85


def test_both_polarities_occur() -> None:
    papers = [np.median(augment(drawn(3), np.random.default_rng(seed))[[0, -1]]) for seed in range(40)]
    assert min(papers) < 60
    assert max(papers) > 190
