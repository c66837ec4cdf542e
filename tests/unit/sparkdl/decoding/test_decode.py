"""What becomes pixels, and which."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pictures import (
    GRAY,
    HEIGHT,
    RGB,
    WIDTH,
    Array,
    X,
    Y,
    assert_near,
    bmp,
    chunk,
    encode,
    over_white,
    pixels,
    png,
    rejected,
)
from PIL import Image

from sparkdl.images.rejection import Reason


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "WEBP"])
def test_colour_becomes_bgr_exactly(image_format: str) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {}
    assert np.array_equal(pixels(encode(RGB, image_format, **options)), RGB[..., ::-1])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_every_lossless_tiff_compression_gives_the_same_pixels(compression: str) -> None:
    assert np.array_equal(pixels(encode(RGB, "TIFF", compression=compression)), RGB[..., ::-1])


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_becomes_bgr_within_its_loss(options: dict[str, Any]) -> None:
    assert_near(pixels(encode(RGB, "JPEG", quality=98, **options)), RGB[..., ::-1], 24)


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF"])
def test_gray_becomes_one_channel(image_format: str) -> None:
    assert np.array_equal(pixels(encode(GRAY, image_format)), GRAY[..., np.newaxis])


def test_gray_jpeg_becomes_one_channel() -> None:
    assert_near(pixels(encode(GRAY, "JPEG", quality=98)), GRAY[..., np.newaxis], 6)


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF"])
def test_one_bit_becomes_black_and_white(image_format: str) -> None:
    bits = (X + Y) % 3 == 0
    assert np.array_equal(pixels(encode(bits, image_format))[..., 0], bits * 255)


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF"])
def test_palette_becomes_bgr(image_format: str) -> None:
    image = Image.fromarray((X // 10).astype(np.uint8), "L")
    image.putpalette(colours := [10, 20, 30, 200, 100, 0, 255, 255, 255, 0, 0, 255])
    expected = np.array(colours, np.uint8).reshape(-1, 3)[X // 10]
    assert np.array_equal(pixels(encode(image, image_format)), expected[..., ::-1])


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_composited_on_white(image_format: str) -> None:
    alpha = (X * 6).astype(np.uint8)
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    payload = encode(np.dstack([RGB, alpha]), image_format, **options)
    assert_near(pixels(payload), over_white(RGB, alpha)[..., ::-1], 1)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_gray_with_alpha_is_composited_on_white(image_format: str) -> None:
    alpha = (Y * 10).astype(np.uint8)
    image = Image.merge("LA", [Image.fromarray(GRAY), Image.fromarray(alpha)])
    assert_near(pixels(encode(image, image_format)), over_white(GRAY[..., np.newaxis], alpha), 1)


@pytest.mark.parametrize(("colour", "channels"), [("RGB", 3), ("L", 1)])
def test_premultiplied_tiff_is_divided_before_it_is_composited(colour: str, channels: int) -> None:
    alpha = np.full((HEIGHT, WIDTH), 128, np.uint8)
    straight = RGB if channels == 3 else GRAY[..., np.newaxis]
    stored = np.dstack([(straight.astype(int) * 128 // 255).astype(np.uint8), alpha])
    image = Image.fromarray(stored, "RGBA" if channels == 3 else "LA")
    # Tag 338, ExtraSamples: 1 is premultiplied alpha.
    payload = bytearray(encode(image, "TIFF"))
    entry = payload.index(struct.pack("<HHI", 338, 3, 1))
    payload[entry + 8] = 1
    assert_near(pixels(bytes(payload)), over_white(straight, alpha)[..., ::-1], 3)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 128, 255])], ids=["one entry", "alpha per entry"])
def test_transparent_palette_entries_are_composited_on_white(transparency: int | bytes) -> None:
    index = (X // 10).astype(np.uint8)
    image = Image.fromarray(index, "L")
    image.putpalette(colours := [10, 20, 30, 200, 100, 0, 255, 0, 255, 0, 0, 255])
    alpha = np.frombuffer(bytes([255, 0, 255, 255]) if transparency == 1 else transparency, np.uint8)  # type: ignore[arg-type]
    expected = over_white(np.array(colours, np.uint8).reshape(-1, 3), alpha)[index]
    assert_near(pixels(encode(image, "PNG", transparency=transparency)), expected[..., ::-1], 1)


def test_transparent_gif_entry_is_white() -> None:
    index = (X // 20).astype(np.uint8)
    image = Image.fromarray(index, "L")
    image.putpalette([10, 20, 30, 200, 100, 0])
    decoded = pixels(encode(image, "GIF", transparency=1))
    assert (decoded[index == 1] == 255).all()
    assert (decoded[index == 0] == (30, 20, 10)).all()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (png(4, 1, 2, 0, [b"\x1b"], chunk(b"tRNS", b"\0\1")), [0, 255, 170, 255]),
        (png(2, 1, 4, 0, [b"\x37"], chunk(b"tRNS", b"\0\7")), [51, 255]),
        (png(2, 1, 8, 0, [b"\x37\x40"], chunk(b"tRNS", b"\0\x40")), [0x37, 255]),
        (png(8, 1, 1, 0, [b"\xf0"], chunk(b"tRNS", b"\0\0")), [255] * 8),
        (png(2, 1, 16, 0, [b"\x92\x34\x92\x35"], chunk(b"tRNS", b"\x92\x34")), [255, 0x92]),
        (
            png(2, 1, 16, 2, [b"\x92\1\0\2\0\3\x92\1\0\2\0\4"], chunk(b"tRNS", b"\x92\1\0\2\0\3")),
            [255] * 3 + [0, 0, 0x92],
        ),
        (png(2, 1, 8, 2, [b"\1\2\3\1\2\4"], chunk(b"tRNS", b"\0\1\0\2\0\3")), [255, 255, 255, 4, 2, 1]),
        (png(1, 1, 16, 2, [b"\1\0\2\0\3\0"], chunk(b"tRNS", b"\1\0\2\0\3\0")), [255, 255, 255]),
        (png(1, 1, 16, 2, [b"\x12\xff\x34\xff\x56\xff"]), [0x56, 0x34, 0x12]),
        (png(1, 1, 16, 4, [b"\x40\xff\x80\x00"]), [160, 160, 160]),
    ],
    ids=[
        "2 bit",
        "4 bit",
        "8 bit",
        "1 bit",
        "16 bit",
        "rgb 16 bit near",
        "rgb",
        "rgb 16 bit",
        "rgb 16 bit opaque",
        "gray alpha 16 bit",
    ],
)
def test_png_transparent_colours_and_deep_samples_follow_the_standard(payload: bytes, expected: list[int]) -> None:
    assert_near(pixels(payload).ravel(), np.array(expected), 1)


def interlaced_png(passes: list[bytes]) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1))
    data = zlib.compress(b"".join(b"\0" + row for row in passes))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_interlaced_png_is_put_together_and_a_missing_pass_is_corrupt() -> None:
    passes = [b"\1", b"\3", b"\7\x09", b"\2", b"\x08", b"\4\5\6"]
    assert pixels(interlaced_png(passes))[..., 0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert rejected(interlaced_png(passes[:-1])).reason is Reason.CORRUPT


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_sixteen_bit_gray_keeps_the_high_byte(image_format: str) -> None:
    deep = (X.astype(np.uint16) * 1600 + Y).astype(np.uint16)
    assert np.array_equal(pixels(encode(deep, image_format))[..., 0], deep >> 8)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 99.6, 255.0]], np.float32), [0, 100, 255]),
        (np.array([[0.0, 32768.0, 65535.0]], np.float32), [0, 128, 255]),
        (np.array([[-1.0, 0.0, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[np.nan, np.inf, 1.0]], np.float32), [0, 0, 255]),
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0, 0x1234, 65535]], np.int32), [0, 0x12, 255]),
        (np.array([[-(2**31), 0, 2**31 - 1]], np.int32), [0, 128, 255]),
    ],
)
def test_gray_of_32_bits_is_scaled_by_its_range(values: Array, expected: list[int]) -> None:
    assert pixels(encode(values, "TIFF")).ravel().tolist() == expected


@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_bgr(image_format: str) -> None:
    cmyk = np.zeros((16, 16, 4), np.uint8)
    cmyk[..., 0] = 255
    cyan = pixels(encode(Image.fromarray(cmyk, "CMYK"), image_format))
    assert_near(cyan, np.broadcast_to([255, 255, 0], (16, 16, 3)), 3)


def test_ycbcr_tiff_becomes_bgr() -> None:
    assert_near(pixels(encode(Image.fromarray(RGB).convert("YCbCr"), "TIFF")), RGB[..., ::-1], 3)


def test_lab_tiff_becomes_bgr() -> None:
    lab = np.zeros((4, 8, 3), np.uint8)
    lab[:, 4:, 0] = 255
    decoded = pixels(encode(Image.fromarray(lab, "LAB"), "TIFF"))
    assert_near(decoded, np.repeat(np.repeat([[[0], [255]]], 4, axis=1), 4, axis=0) * np.ones((1, 1, 3), int), 2)


def test_bmp_alpha_is_composited_unless_it_is_zero_all_over() -> None:
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    assert pixels(bmp(2, 1, b"\1\2\3\0\4\5\6\xff", masks)).tolist() == [[[255, 255, 255], [4, 5, 6]]]
    assert pixels(bmp(2, 1, b"\1\2\3\0\4\5\6\0", masks)).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_bmp_with_its_top_row_first_is_upright() -> None:
    masks = (0xFF0000, 0xFF00, 0xFF, 0)
    assert pixels(bmp(1, -2, b"\1\2\3\0\4\5\6\0", masks)).tolist() == [[[1, 2, 3]], [[4, 5, 6]]]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "restore"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
        (9, lambda a: a),
    ],
)
def test_exif_orientation_is_applied(image_format: str, orientation: int, restore: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.kron(np.array([[0, 80, 160], [240, 120, 40]], np.uint8), np.ones((8, 8), np.uint8))
    options = {"JPEG": {"quality": 98}, "WEBP": {"lossless": True}}.get(image_format, {})
    payload = encode(np.dstack([blocks] * 3), image_format, exif=exif, **options)
    assert_near(pixels(payload)[..., 0], restore(blocks), 6)


def test_unreadable_exif_does_not_spoil_the_picture() -> None:
    payload = encode(RGB, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert pixels(payload).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_or_page_is_taken(image_format: str) -> None:
    red, blue = (Image.new("RGB", (16, 12), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if image_format == "WEBP" else {}
    payload = encode(red, image_format, save_all=True, append_images=[blue], **options)
    assert (pixels(payload) == (0, 0, 255)).all()
