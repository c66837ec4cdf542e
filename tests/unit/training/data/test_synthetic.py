"""Synthetic digits: repeatable, varied, and separable by a simple classifier."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.svm import SVC

from sparkdl.errors import RequestError
from training.data.synthetic.curves import paths
from training.data.synthetic.digits import CLASSES, MAX_SIDE, MIN_SIDE, draw, draw_png
from training.data.synthetic.strokes import FORMS

DIGITS = range(10)


@pytest.fixture(scope="module")
def samples() -> list[np.ndarray]:
    """200 draws, 20 of each digit."""
    return [draw(digit, np.random.default_rng([digit, i])) for digit in DIGITS for i in range(20)]


def gray(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("L"), dtype=np.float32)


def paper_tone(image: np.ndarray) -> float:
    """The median of the outermost pixels, 0 to 255."""
    values = gray(image)
    return float(np.median(np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])))


def ink_pixels(image: np.ndarray) -> np.ndarray:
    """The ink's bounding box, in its proportions, as 16 x 16 values from 0 to 1, flat."""
    lighter = gray(image) - paper_tone(image)
    ink = np.maximum(lighter if lighter.max() > -lighter.min() else -lighter, 0.0)
    ink /= ink.max()
    rows, columns = np.flatnonzero((ink > 0.4).any(axis=1)), np.flatnonzero((ink > 0.4).any(axis=0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(box.shape)
    square = np.zeros((side, side), dtype=np.float32)
    top, left = (side - box.shape[0]) // 2, (side - box.shape[1]) // 2
    square[top : top + box.shape[0], left : left + box.shape[1]] = box
    return np.asarray(Image.fromarray(square).resize((16, 16), Image.Resampling.BILINEAR)).ravel()


def ink_table(first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.repeat(DIGITS, count)
    rows = [
        ink_pixels(draw(digit, np.random.default_rng([digit, first + i]))) for digit in DIGITS for i in range(count)
    ]
    return np.stack(rows), labels


@given(digit=st.integers(0, 9), seed=st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_a_sample_is_repeatable_and_keeps_to_its_format(digit: int, seed: int) -> None:
    png = draw_png(digit, seed)
    assert png == draw_png(digit, seed)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        assert image.mode in ("L", "RGB")
        assert min(image.size) >= MIN_SIDE
        assert max(image.size) <= MAX_SIDE
        values = np.asarray(image)
    np.testing.assert_array_equal(values, draw(digit, np.random.default_rng([seed, digit])))


def test_different_seeds_give_different_samples() -> None:
    assert len({draw_png(digit, seed) for digit in DIGITS for seed in range(20)}) == 200


def test_every_class_has_forms_to_draw() -> None:
    assert tuple(str(digit) for digit in DIGITS) == CLASSES
    assert len(FORMS) == len(CLASSES)
    assert all(paths(digit) for digit in DIGITS)


def test_the_poses_of_a_form_share_their_lifts_and_corners() -> None:
    def plan(pose: str) -> list[list[bool]]:
        return [[point.endswith("!") for point in stroke.split()] for stroke in pose.split("|")]

    for forms in FORMS:
        for form in forms:
            assert all(plan(pose) == plan(form.poses[0]) for pose in form.poses), form


def test_both_polarities_occur(samples: list[np.ndarray]) -> None:
    on_light = sum(paper_tone(image) > float(np.mean(gray(image))) for image in samples)
    assert 60 < on_light < 170


def test_gray_and_colour_occur(samples: list[np.ndarray]) -> None:
    assert {image.ndim for image in samples} == {2, 3}
    assert {image.dtype for image in samples} == {np.dtype(np.uint8)}


def test_small_and_large_canvases_occur(samples: list[np.ndarray]) -> None:
    sides = [max(image.shape[:2]) for image in samples]
    assert min(sides) == MIN_SIDE
    assert max(sides) > 150
    assert len(set(sides)) > 40
    assert any(image.shape[0] != image.shape[1] for image in samples)


def test_ink_stands_out_from_paper_in_every_sample(samples: list[np.ndarray]) -> None:
    assert min(float(np.abs(gray(image) - paper_tone(image)).max()) for image in samples) > 40


def test_ten_classes_are_told_apart_by_their_pixels() -> None:
    classifier = SVC(C=10.0).fit(*ink_table(first=1000, count=120))
    # 60 others a class, so that the score does not depend on a few samples.
    assert classifier.score(*ink_table(first=5000, count=60)) > 0.8


@pytest.mark.parametrize("digit", [-1, 10, 12])
def test_a_digit_outside_the_ten_is_refused(digit: int) -> None:
    with pytest.raises(RequestError, match=f"expected an integer from 0 to 9, received: {digit}"):
        draw(digit, np.random.default_rng(0))
    with pytest.raises(RequestError, match="no such digit"):
        draw_png(digit, seed=0)
