"""Promises of the range rule: the same in TIFF and PNG, and no single pixel decides it."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from pictures import Array, chunk, pixels, png
from tiff_files import ASCII, LONG, SHORT, Page, write

from sparkdl.images.ranges import scale_of

RNG = np.random.default_rng(11)
BASE = RNG.integers(0, 256, (24, 32, 1), np.uint8)
BASE[0, :2, 0] = 0, 255


def tiff(values: Array, tags: dict[int, Any] | None = None) -> bytes:
    return write(Page(values, 1 if values.shape[2] == 1 else 2, tags=tags or {}))


def png16(values: Array, *before: bytes) -> bytes:
    height, width, channels = values.shape
    rows = [row.astype(">u2").tobytes() for row in values]
    return png(width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows, *before)


def bits_in_sixteen(bits: int, channels: int = 1) -> Array:
    base = np.repeat(BASE, channels, axis=2).astype(np.uint16)
    return base << (bits - 8) | RNG.integers(0, 1 << (bits - 8), base.shape, np.uint16)


@pytest.mark.parametrize("container", [tiff, png16])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_data_of_fewer_bits_in_16_is_found_whatever_the_container(container: Any, bits: int, channels: int) -> None:
    assert np.array_equal(pixels(container(bits_in_sixteen(bits, channels))), np.repeat(BASE, channels, axis=2))


@pytest.mark.parametrize("container", [tiff, png16])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("outlier", [65535, 32768, 16384])
def test_one_pixel_changes_no_other_in_16_bits(container: Any, bits: int, outlier: int) -> None:
    values = bits_in_sixteen(bits)
    values[5, 5] = outlier
    expected = BASE.copy()
    expected[5, 5] = 255
    assert np.array_equal(pixels(container(values)), expected)


@pytest.mark.parametrize(("greatest", "shift"), [(1023, 2), (4095, 4), (16383, 6), (65535, 8), (2000, 3)])
def test_the_greatest_value_that_a_tiff_states_is_its_depth(greatest: int, shift: int) -> None:
    values = np.minimum(bits_in_sixteen(10), greatest)
    assert np.array_equal(pixels(tiff(values, {281: (SHORT, [greatest])})), values >> shift)


def test_a_greatest_value_that_the_data_exceeds_is_not_believed() -> None:
    assert np.array_equal(pixels(tiff(bits_in_sixteen(16), {281: (SHORT, [4095])})), BASE)


@pytest.mark.parametrize(("significant", "shift"), [(16, 8), (12, 4), (13, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_significant_bits_of_a_png_are_its_depth(significant: int, shift: int, channels: int) -> None:
    values = bits_in_sixteen(10, channels)
    payload = png16(values, chunk(b"sBIT", bytes([significant] * channels)))
    assert np.array_equal(pixels(payload), (values >> shift)[..., ::-1])


def test_significant_bits_in_the_upper_bits_keep_the_high_byte() -> None:
    payload = png16(bits_in_sixteen(12) << 4, chunk(b"sBIT", b"\x0c"))
    assert np.array_equal(pixels(payload), BASE)


@pytest.mark.parametrize("container", [tiff, png16])
@pytest.mark.parametrize("opaque", [4095, 65535])
def test_alpha_has_the_depth_of_the_colours_or_of_its_container(container: Any, opaque: int) -> None:
    values = np.dstack([bits_in_sixteen(12, 3), np.full(BASE.shape, opaque, np.uint16)])
    payload = container(values, {338: (SHORT, [2])}) if container is tiff else container(values)
    assert np.array_equal(pixels(payload), np.repeat(BASE, 3, axis=2))


def test_one_transparent_colour_of_16_bits_hides_that_colour_alone() -> None:
    values = bits_in_sixteen(12, 3)
    hidden = values[3, 4]
    payload = png16(values, chunk(b"tRNS", struct.pack(">3H", *hidden)))
    expected = np.repeat(BASE, 3, axis=2)
    expected[3, 4] = 255
    assert np.array_equal(pixels(payload), expected)


# --- floating point and signed numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["f2", "f4", "f8"])
@pytest.mark.parametrize("outlier", [1.004, 300.0, 60000.0, -0.5, -9999.0, -32768.0, np.nan, np.inf, -np.inf])
def test_one_pixel_changes_no_other_in_0_to_1(number: str, outlier: float) -> None:
    values = (BASE / 255).astype(number)
    values[5, 5] = outlier
    expected = BASE.copy()
    expected[5, 5] = 255 if 1 < outlier < np.inf else 0
    assert np.array_equal(pixels(tiff(values)), expected)


@pytest.mark.parametrize("number", ["i2", "i4", "i8", "f4", "f8"])
@pytest.mark.parametrize("outlier", [30000, -32768, -9999, -1])
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_one_pixel_changes_no_other_in_a_height_model(number: str, outlier: int, bits: int) -> None:
    values = bits_in_sixteen(bits).astype(number)
    values[5, 5] = outlier
    expected = BASE.copy()
    expected[5, 5] = 255 if outlier > 0 else 0
    assert np.array_equal(pixels(tiff(values)), expected)


@pytest.mark.parametrize("no_data", [-32768.0, -9999.0, -3.4028234663852886e38, np.nan])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.97])
def test_areas_without_data_are_black_and_do_not_change_the_rest(no_data: float, share: float) -> None:
    values = (BASE * 4.0).astype(np.float32)
    empty = RNG.random(BASE.shape) < share
    values[empty] = no_data
    assert np.array_equal(pixels(tiff(values)), np.where(empty, 0, BASE))


@pytest.mark.parametrize("number", ["i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("no_data", [-32768, -9999])
@pytest.mark.parametrize("stray", [-20000, -32767, 30000])
def test_one_pixel_beside_an_area_without_data_changes_no_other(number: str, no_data: int, stray: int) -> None:
    values = bits_in_sixteen(10).astype(number)
    empty = RNG.random(BASE.shape) < 0.3
    values[empty] = no_data
    values[5, 5] = stray
    expected = np.where(empty, 0, BASE)
    expected[5, 5] = 255 if stray > 0 else 0
    assert np.array_equal(pixels(tiff(values)), expected)


def test_values_below_a_usual_no_data_value_make_it_a_value() -> None:
    values = np.linspace(-20_000, 20_000, BASE.size).reshape(BASE.shape).astype("i2")
    values[0, :4] = -9999
    decoded = pixels(tiff(values))
    assert decoded[0, :4].min() > 50


@pytest.mark.parametrize("text", ["-500", "9000", "-500.0\0"])
@pytest.mark.parametrize("number", ["i2", "f4"])
def test_the_no_data_value_that_gdal_states_is_black(text: str, number: str) -> None:
    values = bits_in_sixteen(12).astype(number)
    empty = RNG.random(BASE.shape) < 0.3
    values[empty] = float(text.rstrip("\0"))
    decoded = pixels(tiff(values, {42113: (ASCII, list(text.encode()))}))
    assert np.array_equal(decoded, np.where(empty, 0, BASE))


def test_a_no_data_value_of_unsigned_numbers_is_black() -> None:
    values = bits_in_sixteen(12)
    empty = RNG.random(BASE.shape) < 0.3
    values[empty] = 65535
    decoded = pixels(tiff(values, {42113: (ASCII, list(b"65535\0"))}))
    assert np.array_equal(decoded, np.where(empty, 0, BASE))


@pytest.mark.parametrize("number", ["i2", "i4", "f4"])
def test_negative_values_are_stretched_and_one_pixel_changes_no_other(number: str) -> None:
    values = (BASE.astype(np.int32) * 20 - 1000).astype(number)
    # The least and the greatest value are an outlier each.
    low, high = np.partition(values.ravel(), (1, values.size - 2))[[1, -2]].astype(float)
    expected = np.clip(np.floor((values - low) * (255 / (high - low)) + 0.5), 0, 255)
    assert np.array_equal(pixels(tiff(values)), expected)
    values[0, 1] = 31000
    assert np.array_equal(pixels(tiff(values)), expected)


@pytest.mark.parametrize("number", ["u4", "u8"])
def test_wide_unsigned_numbers_keep_the_high_byte_if_they_use_it(number: str) -> None:
    shift = 8 * np.dtype(number).itemsize - 8
    values = BASE.astype(number) << np.dtype(number).type(shift)
    assert np.array_equal(pixels(tiff(values)), BASE)
    assert np.array_equal(pixels(tiff(BASE.astype(number) * 257)), BASE)
    assert np.array_equal(pixels(tiff(BASE.astype(number))), BASE)


def test_filters_may_overshoot_by_an_eighth() -> None:
    values = (BASE / 255 * 1.2 - 0.1).astype(np.float32)
    expected = np.clip(np.floor(values.astype(float) * 255 + 0.5), 0, 255)
    assert np.array_equal(pixels(tiff(values)), expected)
    values *= 255
    assert np.array_equal(pixels(tiff(values)), np.clip(np.floor(values.astype(float) + 0.5), 0, 255))


def test_floating_point_values_a_little_above_1_are_not_taken_for_a_black_picture() -> None:
    assert pixels(tiff((BASE / 255 * 5).astype(np.float32))).mean() == pytest.approx(BASE.mean(), abs=1)


@pytest.mark.parametrize("number", ["u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_one_value_everywhere_and_no_valid_value_are_no_error(number: str) -> None:
    zeros = np.zeros((4, 4, 1), number)
    assert (pixels(tiff(zeros)) == 0).all()
    if number[0] == "f":
        assert (pixels(tiff(np.full_like(zeros, np.nan))) == 0).all()


@pytest.mark.parametrize("number", ["u2", "i2", "f4"])
def test_no_single_pixel_changes_the_scale_of_a_random_picture(number: str) -> None:
    for bits in (8, 9, 10, 11, 12, 13, 14, 15):
        values = RNG.integers(0, 1 << bits, 400).astype(number)
        scales = set()
        for outlier in (0, 1, 300, 5000, 20000, 32767):
            changed = values.copy()
            changed[7] = outlier
            scales.add((scale_of(changed).factor, scale_of(changed).shift))
        assert len(scales) == 1, bits


def test_a_depth_tag_of_another_type_is_read() -> None:
    assert np.array_equal(pixels(tiff(bits_in_sixteen(10), {281: (LONG, [1023])})), BASE)
