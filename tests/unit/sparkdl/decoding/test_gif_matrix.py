"""GIF: every size of palette, interlacing, transparency, place on the canvas and kind of end."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from gif_files import lzw, sub_blocks, write_gif
from pictures import Array, over_white, pixels, rejected

from sparkdl.images.rejection import Reason

HEIGHT, WIDTH = 19, 23
RNG = np.random.default_rng(7)
COLOURS = RNG.integers(0, 256, (256, 3), np.uint8)
SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
INDEX = RNG.integers(0, 8, (HEIGHT, WIDTH), np.uint8)
KINDS = list(itertools.product(SIZES, (False, True), (False, True), (False, True), (False, True)))


def colours(array: Array) -> Array:
    return array[..., ::-1]


def second_reader(payload: bytes) -> Array:
    """The first frame as OpenCV's own GIF decoder reads it, on white."""
    read = np.asarray(cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_UNCHANGED))
    return over_white(read[..., :3], read[..., 3]) if read.shape[2] == 4 else read


@pytest.mark.parametrize(("size", "is_local", "interlaced", "transparent", "partial"), KINDS)
def test_every_kind_of_gif_gives_the_pixels_that_it_was_made_of(
    size: int, is_local: bool, interlaced: bool, transparent: bool, partial: bool
) -> None:
    index = RNG.integers(0, size, (HEIGHT, WIDTH), np.uint8)
    shown = COLOURS[:size][index]
    if transparent:
        shown[index == 1] = 255
    expected = shown
    canvas, at = (WIDTH, HEIGHT), (0, 0)
    if partial:
        canvas, at = (WIDTH + 9, HEIGHT + 5), (6, 4)
        expected = np.full((HEIGHT + 5, WIDTH + 9, 3), 255, np.uint8)
        expected[4 : 4 + HEIGHT, 6 : 6 + WIDTH] = shown
    payload = write_gif(
        index,
        COLOURS[:size],
        canvas=canvas,
        at=at,
        is_local=is_local,
        interlaced=interlaced,
        transparent=1 if transparent else None,
        disposal=1 + RNG.integers(0, 3),
    )
    assert np.array_equal(pixels(payload), colours(expected))
    if transparent or not partial:  # without transparency OpenCV fills the canvas with the background's colour
        assert np.array_equal(pixels(payload), second_reader(payload))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("partial", [False, True])
def test_a_palette_of_grays_gives_gray_on_a_canvas_too(size: int, partial: bool) -> None:
    table = np.repeat(np.linspace(0, 250, size).astype(np.uint8)[:, np.newaxis], 3, axis=1)
    index = RNG.integers(0, size, (HEIGHT, WIDTH), np.uint8)
    payload = write_gif(index, table, canvas=(WIDTH + 1, HEIGHT) if partial else None)
    decoded = pixels(payload)
    assert decoded.shape == (HEIGHT, WIDTH + partial, 1)
    assert np.array_equal(decoded[:, :WIDTH, 0], table[index][..., 0])
    assert (decoded[:, WIDTH:] == 255).all()
    if not partial:
        assert np.array_equal(decoded.repeat(3, axis=2), second_reader(payload))


@pytest.mark.parametrize(
    "before",
    [
        b"!\xfe\5words\0",
        b"!\xfe" + sub_blocks(bytes(300_000)) + b"\0",
        b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0",
        b"!\xff\x0bNETSCAPE2.0\1\1\0",
        b"!\xff\1?\0",
        b"!\xf9\1\1\0",
        b"!\xf9\0",
        b"!\x99\2ab\0",
        b"\0\0\0",
        b"!\xf9\4\1\0\0\0\0!\1\1x\0",
    ],
    ids=["comment", "long comment", "loop", "short loop", "application", "control", "no control", "?", "zeros", "text"],
)
def test_metadata_changes_no_pixel(before: bytes) -> None:
    assert np.array_equal(pixels(write_gif(INDEX, COLOURS[:8], before=before)), colours(COLOURS[INDEX]))


@pytest.mark.parametrize(
    "trailer", [b"", b"\0", b"\0;junk", b"\0\0\0;", b"\0\x99junk", b"\0!\xfe\x50cut", b"\0,\0\0\0\0\x01"],
    ids=["nothing", "no trailer", "junk", "zeros", "unknown block", "cut comment", "cut frame"],
)  # fmt: skip
@pytest.mark.parametrize("interlaced", [False, True])
def test_what_follows_the_pixels_of_the_first_frame_does_not_matter(trailer: bytes, interlaced: bool) -> None:
    payload = write_gif(INDEX, COLOURS[:8], trailer=trailer, interlaced=interlaced)
    assert np.array_equal(pixels(payload), colours(COLOURS[INDEX]))


@pytest.mark.parametrize("canvas", [(0, 0), (0, HEIGHT), (WIDTH, 0), (5, 5)])
def test_a_canvas_smaller_than_its_frame_grows(canvas: tuple[int, int]) -> None:
    assert np.array_equal(pixels(write_gif(INDEX, COLOURS[:8], canvas=canvas)), colours(COLOURS[INDEX]))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("is_ended", [False, True])
def test_a_frame_without_its_last_pixels_is_corrupt_and_truncated_if_the_file_ends_there(
    interlaced: bool, is_ended: bool
) -> None:
    whole = write_gif(INDEX, COLOURS[:8], interlaced=interlaced)
    head = whole[: whole.rindex(b",", 0, 60) + 11]
    for missing in (1, WIDTH, 5 * WIDTH, INDEX.size - 1):
        data = sub_blocks(lzw(INDEX.ravel().tolist()[:-missing], 3, is_ended=is_ended))
        assert rejected(head + data + b"\0;").reason is Reason.CORRUPT, missing
        assert rejected(head + data).reason is Reason.TRUNCATED, missing


def test_a_gif_without_colours_is_unsupported_and_a_colour_beyond_its_table_corrupt() -> None:
    assert rejected(write_gif(INDEX, None)).reason is Reason.UNSUPPORTED_FORMAT
    assert rejected(write_gif(INDEX, COLOURS[:4])).reason is Reason.CORRUPT
    hidden = np.where(INDEX > 3, 7, INDEX).astype(np.uint8)
    decoded = pixels(write_gif(hidden, COLOURS[:4], transparent=7))
    assert (decoded[hidden == 7] == 255).all()
    assert np.array_equal(decoded[hidden < 4], colours(COLOURS[hidden[hidden < 4]]))
