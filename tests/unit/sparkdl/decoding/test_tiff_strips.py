"""Fax and JPEG strips of a TIFF: each pixel as another reader has it."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import Array, encode, pixels
from PIL import Image
from tiff_files import GROUP_3, GROUP_4, JPEG, RLE, Page, write

# --- fax ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [RLE, GROUP_3, GROUP_4])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("reversed_bits", [False, True])
def test_fax_is_read_bit_by_bit(compression: int, photometric: int, reversed_bits: bool) -> None:
    bits = (np.add.outer(np.arange(40), np.arange(83)) % 13 < 5).astype(np.uint8)
    name = {RLE: "tiff_ccitt", GROUP_3: "group3", GROUP_4: "group4"}[compression]
    tags = {262: photometric, 266: 2 if reversed_bits else 1, 278: 8}
    payload = encode(Image.fromarray(bits * 255).convert("1"), "TIFF", compression=name, tiffinfo=tags)
    with tifffile.TiffFile(io.BytesIO(payload)) as file:
        page: Any = file.pages[0]
        assert (int(page.compression), page.photometric, page.fillorder) == (compression, photometric, tags[266])
        assert len(page.dataoffsets) == 5
    assert np.array_equal(pixels(payload)[..., 0], bits * 255)


# --- JPEG --------------------------------------------------------------------------------------------------------


def smooth(channels: int, height: int = 45, width: int = 70) -> Array:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([(x * 3 + y * n) % 256 for n in range(1, channels + 1)], axis=-1).astype(np.uint8)


def jpeg(piece: Array, **options: Any) -> bytes:
    image = Image.fromarray(piece[..., 0] if piece.shape[2] == 1 else piece, "CMYK" if piece.shape[2] == 4 else None)
    return encode(image, "JPEG", quality=90, **options)


def as_decoded(page: Page, **options: Any) -> Array:
    """The picture that Pillow's JPEG plugin gives for the pieces of a page."""
    decoded = np.zeros_like(page.samples)
    step = page.strip or len(page.samples)
    for top in range(0, len(page.samples), step):
        piece = page.samples[top : top + step]
        if not page.planar:
            decoded[top : top + step] = np.asarray(Image.open(io.BytesIO(jpeg(piece, **options)))).reshape(piece.shape)
        else:
            for plane in range(piece.shape[2]):
                one = Image.open(io.BytesIO(jpeg(piece[..., plane : plane + 1], **options)))
                decoded[top : top + step, :, plane] = np.asarray(one)
    return decoded


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strip", [0, 16])
@pytest.mark.parametrize(
    ("photometric", "channels", "planar", "options"),
    [
        (1, 1, False, {}),
        (6, 3, False, {"subsampling": 0}),
        (6, 3, False, {"subsampling": 1}),
        (6, 3, False, {"subsampling": 2}),
        (2, 3, False, {"keep_rgb": True}),
        (2, 3, True, {}),
    ],
    ids=["gray", "4:4:4", "4:2:2", "4:2:0", "RGB", "RGB planes"],
)
def test_jpeg_strips_give_what_libjpeg_gives(
    order: str, strip: int, photometric: int, channels: int, planar: bool, options: dict[str, Any]
) -> None:
    page = Page(
        smooth(channels), photometric, JPEG, planar=planar, strip=strip, codec=lambda piece: jpeg(piece, **options)
    )
    expected = as_decoded(page, **options)
    decoded = pixels(write(page, order=order))
    assert np.array_equal(decoded, expected[..., ::-1])
    assert np.abs(decoded.astype(int) - page.samples[..., ::-1]).mean() < 30


@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_tiles_give_what_libjpeg_gives(subsampling: int) -> None:
    page = Page(smooth(3), 6, JPEG, tile=(32, 48), codec=lambda piece: jpeg(piece, subsampling=subsampling))
    expected = np.zeros((64, 96, 3), np.uint8)
    padded = np.pad(page.samples, ((0, 19), (0, 26), (0, 0)), "edge")
    for top, left in itertools.product((0, 32), (0, 48)):
        stream = jpeg(padded[top : top + 32, left : left + 48], subsampling=subsampling)
        expected[top : top + 32, left : left + 48] = np.asarray(Image.open(io.BytesIO(stream)))
    assert np.array_equal(pixels(write(page)), expected[:45, :70, ::-1])


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr", "CMYK"])
def test_jpeg_with_its_tables_apart_is_what_another_reader_gives(mode: str) -> None:
    image = Image.fromarray(smooth(3)).convert(mode)
    payload = encode(image, "TIFF", compression="jpeg", tiffinfo={278: 16})
    with tifffile.TiffFile(io.BytesIO(payload)) as file:
        page: Any = file.pages[0]
        assert page.jpegtables
        read = page.asarray(maxworkers=1)
    if mode == "CMYK":
        light = 255 - read[..., 3:].astype(int)
        read = light - (read[..., :3] * light + 127) // 255
    assert np.array_equal(pixels(payload), read.reshape(*read.shape[:2], -1)[..., ::-1])
