"""Pixels made smaller, and gray."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pictures import GRAY, RGB, SAMPLES, Array, assert_near, encode, pixels
from PIL import Image
from sklearn.datasets import load_sample_images

from sparkdl.decoding.decode import decode
from sparkdl.errors import SparkdlError
from sparkdl.images.pixels import downscale, to_gray
from sparkdl.networks.builder import build_network
from sparkdl.networks.runtime import Network, extract_features
from sparkdl.networks.spec import NetworkSpec


@pytest.mark.parametrize("photo", [0, 1])
def test_a_network_of_299_pixels_makes_less_of_the_reduction_than_of_the_filter(photo: int) -> None:
    # Just above the limit, so that as little as possible is left: 627 x 419 of 1254 x 838.
    whole = np.asarray(
        Image.fromarray(load_sample_images().images[photo]).resize((1254, 838), Image.Resampling.LANCZOS)
    )
    small = downscale(whole)
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


@pytest.mark.parametrize(("size", "expected"), [((2000, 1500), (1000, 750)), ((3264, 2448), (816, 612))])
def test_a_large_jpeg_is_decoded_at_a_part_of_its_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = Image.fromarray(load_sample_images().images[0]).resize(size, Image.Resampling.LANCZOS)
    small = decode(encode(photo, "JPEG", quality=90), reduce=True)
    assert isinstance(small, np.ndarray)
    assert small.shape == (*expected[::-1], 3)
    mean = np.asarray(photo.reduce(size[0] // expected[0]))[..., ::-1]
    assert np.abs(small.astype(int) - mean).mean() < 2


def test_a_jpeg_that_is_one_long_line_is_reduced_too() -> None:
    line = decode(encode(Image.new("L", (30_000, 1), 77), "JPEG"), reduce=True)
    assert isinstance(line, np.ndarray)
    assert line.shape == (1, 2000, 1)
    assert np.abs(line.astype(int) - 77).max() <= 1


def features_at(side: int, picture: Array, resample: Image.Resampling) -> Array:
    content = build_network(NetworkSpec("EfficientNetLite0", (side, side), ("head",), "average"))
    network = Network(f"test of {side}", SimpleNamespace(value=content), (side, side, 3))  # type: ignore[arg-type]
    return extract_features([picture], network, resample)[0]


def cosine(a: Array, b: Array) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_gray_is_the_luma_of_bt_601() -> None:
    expected = np.round(RGB @ np.array([0.299, 0.587, 0.114]))
    assert_near(to_gray(RGB[..., ::-1]), expected, 1)
    assert np.array_equal(to_gray(GRAY[..., np.newaxis]), GRAY)


TRANSPARENT = encode(Image.fromarray(RGB), "PNG", transparency=tuple(map(int, RGB[3, 5])))
LARGE = encode(Image.fromarray(RGB).resize((1200, 1100)), "PNG", compress_level=1)


@pytest.mark.parametrize("payload", [*SAMPLES.values(), TRANSPARENT], ids=[*SAMPLES, "PNG with a transparent colour"])
def test_decoding_to_gray_gives_the_gray_of_what_is_decoded(payload: bytes) -> None:
    assert np.array_equal(decode(payload, gray=True), to_gray(pixels(payload))[..., np.newaxis])


def test_the_gray_of_a_large_picture_is_that_of_the_reduced_one() -> None:
    small, gray = decode(LARGE, reduce=True), decode(LARGE, reduce=True, gray=True)
    assert isinstance(small, np.ndarray)
    assert np.array_equal(gray, to_gray(small)[..., np.newaxis])


def test_gray_of_bgra_is_composited_on_white() -> None:
    array = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 255, 255, 0], [0, 0, 0, 128]]], np.uint8)
    assert to_gray(array).tolist() == [[255, 0, 255, 127]]


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3))])
def test_gray_of_another_kind_of_array_is_refused(array: Array) -> None:
    with pytest.raises(SparkdlError, match=r"expected uint8 \[H, W, 1, 3 or 4\], received"):
        to_gray(array)
