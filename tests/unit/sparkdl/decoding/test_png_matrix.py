"""PNG: every colour type, depth, interlacing, transparency and filter gives the pixels of the standard."""

from __future__ import annotations

import itertools
import struct

import cv2
import numpy as np
import pytest
from pictures import Array, assert_near, chunk, over_white, pixels, rejected
from png_files import DEPTHS, FILTERS, SAMPLES, write_png

from sparkdl.images.rejection import Reason

HEIGHT, WIDTH = 11, 13
PALETTE = np.random.default_rng(3).integers(0, 256, (256, 3), np.uint8)
KINDS = [
    (colour, depth, interlaced, transparent, row_filter)
    for colour, depths in DEPTHS.items()
    for depth in depths
    for interlaced, row_filter in itertools.product((False, True), FILTERS)
    for transparent in ((False, True) if colour in (0, 2, 3) else (False,))
]


def samples_of(colour: int, depth: int) -> Array:
    """Random samples; at 16 bits many that differ in their low byte alone."""
    samples = np.random.default_rng(colour * 32 + depth).integers(0, 1 << depth, (HEIGHT, WIDTH, SAMPLES[colour]))
    if depth == 16:
        samples[: HEIGHT // 2] = samples[0, 0]
        samples[1 : HEIGHT // 2] ^= 1
    else:
        samples[0, :3] = samples[0, 0]
    return samples


def chunks_of(samples: Array, colour: int, depth: int, transparent: bool) -> list[bytes]:
    chunks = []
    if colour == 3:
        chunks.append(chunk(b"PLTE", PALETTE[: 1 << depth].tobytes()))
    if transparent:
        alphas = bytes(range(0, 256, 37))[: 1 << depth]
        chunks.append(chunk(b"tRNS", alphas if colour == 3 else struct.pack(f">{SAMPLES[colour]}H", *samples[0, 0])))
    return chunks


def expected_of(samples: Array, colour: int, depth: int, transparent: bool) -> Array:
    """What `sparkdl.decoding.codecs.conversion.to_array` promises, [H, W, 1 or 3], BGR."""
    alpha = np.full((HEIGHT, WIDTH), 255)
    if colour == 3:
        index = samples[..., 0]
        values = PALETTE[index]
        if transparent:
            table = np.full(256, 255)
            alphas = np.arange(0, 256, 37)[: 1 << depth]
            table[: len(alphas)] = alphas
            alpha = table[index]
    else:
        values = samples >> 8 if depth == 16 else samples * 255 // ((1 << depth) - 1)
        if transparent:
            alpha = np.where((samples == samples[0, 0]).all(axis=2), 0, 255)
        elif colour in (4, 6):
            values, alpha = values[..., :-1], values[..., -1]
    return over_white(values, alpha)[..., ::-1]


def second_reader(payload: bytes) -> Array:
    """As libpng in OpenCV reads it, composited on white."""
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_UNCHANGED)
    image = np.atleast_3d(image >> 8 if image.dtype == np.uint16 else image)
    return over_white(image[..., :3], image[..., 3]) if image.shape[2] == 4 else image


@pytest.mark.parametrize(("colour", "depth", "interlaced", "transparent", "row_filter"), KINDS)
def test_every_kind_of_png_gives_the_pixels_that_it_was_made_of(
    colour: int, depth: int, interlaced: bool, transparent: bool, row_filter: int | None
) -> None:
    samples = samples_of(colour, depth)
    before = chunks_of(samples, colour, depth, transparent)
    payload = write_png(samples, depth, colour, *before, interlaced=interlaced, row_filter=row_filter)
    decoded = pixels(payload)
    is_exact = colour in (0, 2) or not (transparent or colour in (4, 6))
    expected = expected_of(samples, colour, depth, transparent)
    if (colour, depth) == (4, 16):  # its gray comes as a colour
        expected = np.repeat(expected, 3, axis=2)
    assert_near(decoded, expected, 0 if is_exact else 1)
    if not (transparent and colour == 0):  # OpenCV drops the transparent colour of gray
        read = second_reader(payload)
        assert_near(np.broadcast_to(decoded, read.shape), read, 0 if is_exact else 1)


def test_an_index_beyond_the_palette_is_black_as_in_libpng() -> None:
    index = np.array([[[0], [1], [2], [3]]])
    payload = write_png(index, 8, 3, chunk(b"PLTE", bytes([9, 8, 7, 200, 100, 50])))
    assert pixels(payload).tolist() == [[[7, 8, 9], [50, 100, 200], [0, 0, 0], [0, 0, 0]]]
    assert np.array_equal(pixels(payload), second_reader(payload))


@pytest.mark.parametrize("length", [0, 1, 3, 4, 8])
def test_transparency_of_a_length_that_the_colour_type_does_not_have_is_left_out_as_libpng_does(length: int) -> None:
    samples = np.zeros((4, 4, 3), np.uint8)
    payload = write_png(samples, 8, 2, chunk(b"tRNS", bytes(length)))
    assert np.array_equal(pixels(payload), samples)
    assert (second_reader(payload) == 0).all()


def test_a_palette_that_is_none_is_corrupt() -> None:
    for data in (b"", bytes(4), bytes(771)):
        assert rejected(write_png(np.zeros((2, 2, 1), int), 8, 3, chunk(b"PLTE", data))).reason is Reason.CORRUPT


def test_a_chunk_that_pixels_depend_on_and_nobody_knows_is_named() -> None:
    turned_away = rejected(write_png(np.zeros((2, 2, 1), int), 8, 0, chunk(b"ABCD", b"")))
    assert turned_away.reason is Reason.UNSUPPORTED_FORMAT
    assert "ABCD" in turned_away.detail
