"""Pixels made smaller, and gray."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pictures import GRAY, RGB, Array, assert_near
from PIL import Image
from sklearn.datasets import load_sample_images

from sparkdl.errors import SparkdlError
from sparkdl.image import (
    to_gray,
)
from sparkdl.network import NetworkSpec, build_network
from sparkdl.pixels import reduced
from sparkdl.runtime import Network, extract_features


@pytest.mark.parametrize("photo", [0, 1])
def test_a_network_of_299_pixels_makes_less_of_the_reduction_than_of_the_filter(photo: int) -> None:
    # Just above the limit, so that as little as possible is left: 627 x 419 of 1254 x 838.
    whole = np.asarray(
        Image.fromarray(load_sample_images().images[photo]).resize((1254, 838), Image.Resampling.LANCZOS)
    )
    small = reduced(whole)
    assert small.shape == (419, 627, 3)
    seen, seen_small, seen_bicubic = (
        features_at(299, picture, resample)
        for picture, resample in (
            (whole, Image.Resampling.BILINEAR),
            (small, Image.Resampling.BILINEAR),
            (whole, Image.Resampling.BICUBIC),
        )
    )
    assert cosine(seen, seen_small) > 0.995
    assert cosine(seen, seen_small) > cosine(seen, seen_bicubic)


def features_at(side: int, picture: Array, resample: Image.Resampling) -> Array:
    content = build_network(NetworkSpec("EfficientNetLite0", (side, side), ("head",), "average"))
    network = Network(f"test of {side}", SimpleNamespace(value=content), (side, side))  # type: ignore[arg-type]
    return extract_features([picture], network, resample)[0]


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_gray_is_the_luma_of_bt_601() -> None:
    expected = np.round(RGB @ np.array([0.299, 0.587, 0.114]))
    assert_near(to_gray(RGB[..., ::-1]), expected, 1)
    assert np.array_equal(to_gray(GRAY[..., np.newaxis]), GRAY)


def test_gray_of_bgra_is_composited_on_white() -> None:
    array = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 255, 255, 0], [0, 0, 0, 128]]], np.uint8)
    assert to_gray(array).tolist() == [[255, 0, 255, 127]]


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3))])
def test_gray_of_another_kind_of_array_is_refused(array: Array) -> None:
    with pytest.raises(SparkdlError, match=r"expected uint8 \[H, W, 1, 3 or 4\], received"):
        to_gray(array)
