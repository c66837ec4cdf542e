"""`sparkdl.image`: what becomes pixels and which, what is turned away and why, and rows of Spark's image schema."""

from __future__ import annotations

import io
import logging
import struct
import sys
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyspark.ml.image import ImageSchema
from pyspark.sql import SparkSession
from pyspark.sql.functions import arrow_udf
from sklearn.datasets import load_sample_images

from sparkdl.errors import RequestError, SparkdlError
from sparkdl.image import (
    IMAGE_TYPE,
    MEANINGS,
    Limits,
    Reason,
    Rejected,
    arrays_to_struct,
    decode,
    decode_images,
    struct_to_arrays,
    to_gray,
)
from sparkdl.network import NetworkSpec, build_network
from sparkdl.pixels import reduced
from sparkdl.runtime import Network, extract_features

Array = npt.NDArray[Any]

HEIGHT, WIDTH = 24, 40
_y, _x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.uint8)
RGB = np.stack([_x * 6, _y * 10, (_x + _y) * 4], axis=-1)
GRAY = RGB[..., 0] // 2 + RGB[..., 1] // 2
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def encode(image: Image.Image | Array, image_format: str, **options: Any) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes], *before: bytes) -> bytes:
    """A PNG made by hand: what Pillow cannot write is read too."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + data + chunk(b"IEND", b"")


def bmp(width: int, height: int, pixels: bytes, masks: tuple[int, int, int, int]) -> bytes:
    """A BMP of 32 bits with a V4 header, which has an alpha mask."""
    header = struct.pack("<IiiHHIIiiII4I", 108, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0, *masks).ljust(
        108, b"\0"
    )
    return b"BM" + struct.pack("<IHHI", 122 + len(pixels), 0, 0, 122) + header + pixels


def pixels(payload: bytes | None) -> Array:
    decoded = decode(payload)
    assert isinstance(decoded, np.ndarray), decoded
    assert decoded.dtype == np.uint8
    assert decoded.ndim == 3
    assert decoded.shape[2] in (1, 3)
    assert decoded.flags.c_contiguous
    return decoded


def rejected(payload: bytes | None, limits: Limits | None = None) -> Rejected:
    decoded = decode(payload, limits or Limits())
    assert isinstance(decoded, Rejected), decoded.shape
    return decoded


def over_white(rgb: Array, alpha: Array) -> Array:
    """Compositing on white, in floating point."""
    cover = alpha[..., np.newaxis] / 255
    return np.asarray(np.round(rgb * cover + 255 * (1 - cover)))


def assert_near(decoded: Array, expected: Array, tolerance: float) -> None:
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected.astype(int)).max() <= tolerance


SAMPLES = {
    **{image_format: encode(RGB, image_format) for image_format in FORMATS},
    **{f"TIFF {c}": encode(RGB, "TIFF", compression=c) for c in TIFF_COMPRESSIONS},
    "TIFF strips": encode(RGB, "TIFF", tiffinfo={278: 4}),
    "TIFF group4": encode(Image.fromarray(GRAY).convert("1"), "TIFF", compression="group4"),
    "JPEG progressive": encode(RGB, "JPEG", progressive=True),
    "PNG palette": encode(Image.fromarray(RGB).convert("P"), "PNG"),
    "BMP palette": encode(Image.fromarray(RGB).convert("P"), "BMP"),
    "GIF animated": encode(Image.fromarray(RGB), "GIF", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "WEBP lossless": encode(RGB, "WEBP", lossless=True),
    "WEBP animated": encode(RGB, "WEBP", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    "PNG animated": encode(RGB, "PNG", save_all=True, append_images=[Image.fromarray(255 - RGB)]),
}


# --- what becomes pixels, and which -----------------------------------------------------------------------------


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
    bits = (_x + _y) % 3 == 0
    assert np.array_equal(pixels(encode(bits, image_format))[..., 0], bits * 255)


@pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF", "GIF"])
def test_palette_becomes_bgr(image_format: str) -> None:
    image = Image.fromarray((_x // 10).astype(np.uint8), "L")
    image.putpalette(colours := [10, 20, 30, 200, 100, 0, 255, 255, 255, 0, 0, 255])
    expected = np.array(colours, np.uint8).reshape(-1, 3)[_x // 10]
    assert np.array_equal(pixels(encode(image, image_format)), expected[..., ::-1])


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_composited_on_white(image_format: str) -> None:
    alpha = (_x * 6).astype(np.uint8)
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    payload = encode(np.dstack([RGB, alpha]), image_format, **options)
    assert_near(pixels(payload), over_white(RGB, alpha)[..., ::-1], 1)


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_gray_with_alpha_is_composited_on_white(image_format: str) -> None:
    alpha = (_y * 10).astype(np.uint8)
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
    index = (_x // 10).astype(np.uint8)
    image = Image.fromarray(index, "L")
    image.putpalette(colours := [10, 20, 30, 200, 100, 0, 255, 0, 255, 0, 0, 255])
    alpha = np.frombuffer(bytes([255, 0, 255, 255]) if transparency == 1 else transparency, np.uint8)  # type: ignore[arg-type]
    expected = over_white(np.array(colours, np.uint8).reshape(-1, 3), alpha)[index]
    assert_near(pixels(encode(image, "PNG", transparency=transparency)), expected[..., ::-1], 1)


def test_transparent_gif_entry_is_white() -> None:
    index = (_x // 20).astype(np.uint8)
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
        (png(2, 1, 16, 0, [b"\x12\x34\x12\x35"], chunk(b"tRNS", b"\x12\x34")), [255, 0x12]),
        (png(2, 1, 8, 2, [b"\1\2\3\1\2\4"], chunk(b"tRNS", b"\0\1\0\2\0\3")), [255, 255, 255, 4, 2, 1]),
        (png(1, 1, 16, 2, [b"\1\0\2\0\3\0"], chunk(b"tRNS", b"\1\0\2\0\3\0")), [255, 255, 255]),
        (png(1, 1, 16, 2, [b"\x12\xff\x34\xff\x56\xff"]), [0x56, 0x34, 0x12]),
        (png(1, 1, 16, 4, [b"\x40\xff\x80\x00"]), [160, 160, 160]),
    ],
    ids=["2 bit", "4 bit", "8 bit", "1 bit", "16 bit", "rgb", "rgb 16 bit", "rgb 16 bit opaque", "gray alpha 16 bit"],
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
    deep = (_x.astype(np.uint16) * 1600 + _y).astype(np.uint16)
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


# --- what is turned away, and why -------------------------------------------------------------------------------


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


@pytest.mark.parametrize("payload", [None, b""])
def test_no_bytes_are_empty(payload: bytes | None) -> None:
    assert rejected(payload).reason is Reason.EMPTY


def test_a_payload_over_the_limit_is_not_read() -> None:
    payload = SAMPLES["PNG"]
    assert rejected(payload, Limits(max_bytes=len(payload) - 1)).reason is Reason.TOO_MANY_BYTES
    assert isinstance(decode(payload, Limits(max_bytes=len(payload))), np.ndarray)


@pytest.mark.parametrize("sample", SAMPLES)
def test_pixels_over_the_limit_are_too_many_in_every_format(sample: str) -> None:
    assert rejected(SAMPLES[sample], Limits(max_pixels=WIDTH * HEIGHT - 1)).reason is Reason.TOO_MANY_PIXELS
    assert isinstance(decode(SAMPLES[sample], Limits(max_pixels=WIDTH * HEIGHT)), np.ndarray)


def huge(image_format: str) -> bytes:
    """A file of a few bytes whose header announces 60,000 x 60,000 pixels (16,383 x 16,383, its most, for VP8)."""
    side = 60_000
    if image_format == "PNG":
        return png(side, side, 8, 2, [b""])
    if image_format == "JPEG":
        return SAMPLES["JPEG"].replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", side, side))
    if image_format == "BMP":
        return SAMPLES["BMP"].replace(struct.pack("<II", WIDTH, HEIGHT), struct.pack("<II", side, side))
    if image_format == "GIF":
        return SAMPLES["GIF"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", side, side))
    if image_format == "TIFF":
        return SAMPLES["TIFF"].replace(
            struct.pack("<HHIHH", 256, 4, 1, WIDTH, 0), struct.pack("<HHII", 256, 4, 1, 2**31)
        )
    return SAMPLES["WEBP"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", 16383, 16383))


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_huge_header_costs_neither_memory_nor_time(image_format: str) -> None:
    payload = huge(image_format)
    assert rejected(payload[: len(payload) * 9 // 10]).reason is Reason.TOO_MANY_PIXELS
    tracemalloc.start()
    start = time.perf_counter()
    reason = rejected(payload).reason
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason is Reason.TOO_MANY_PIXELS
    assert peak < 1_000_000
    assert seconds < 0.5


def test_a_gif_frame_over_the_edge_counts_with_the_edge_it_makes() -> None:
    payload = SAMPLES["GIF"]
    descriptor = payload.index(struct.pack("<BHHHH", 0x2C, 0, 0, WIDTH, HEIGHT))
    moved = payload[: descriptor + 1] + struct.pack("<HH", 60_000, 60_000) + payload[descriptor + 5 :]
    assert rejected(moved).reason is Reason.TOO_MANY_PIXELS


def test_limits_above_pillows_own_hold_and_leave_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert isinstance(decode(SAMPLES["PNG"]), np.ndarray)
    assert rejected(SAMPLES["TIFF"]).reason is Reason.TOO_MANY_PIXELS
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("field", ["max_bytes", "max_pixels"])
def test_limits_below_one_are_refused(field: str) -> None:
    with pytest.raises(RequestError, match=f"{field}: expected at least 1, received: 0"):
        Limits(**{field: 0})


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_limit_of_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(RequestError, match="timeout: expected more than 0 seconds, received: "):
        Limits(timeout=timeout)


@pytest.mark.parametrize(
    "payload",
    [
        b"x",
        b"not an image",
        b"BMW is a car, not a bitmap",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"P6 2 2 255 " + bytes(12),
        encode(RGB, "ICO"),
        encode(RGB, "PPM"),
        encode(RGB, "JPEG2000"),
        encode(RGB, "TGA"),
        np.random.default_rng(1).bytes(5000),
        bytes(5000),
    ],
    ids=["x", "text", "text BM", "pdf", "svg", "wav", "ppm text", "ico", "ppm", "jp2", "tga", "random", "zeros"],
)
def test_other_bytes_are_an_unsupported_format(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "payload",
    [
        SAMPLES["JPEG"].replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        bmp(1, 1, bytes(4), (0xF, 0xF0, 0xF00, 0)),
        SAMPLES["TIFF"].replace(struct.pack("<HHIH", 262, 3, 1, 2), struct.pack("<HHIH", 262, 3, 1, 77)),
    ],
    ids=["12 bit JPEG", "odd BMP masks", "unknown TIFF colour space"],
)
def test_a_variant_that_cannot_be_decoded_is_an_unsupported_format(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_cut_file_is_truncated_wherever_it_is_cut(sample: str) -> None:
    payload = SAMPLES[sample]
    cuts = {*range(2, 64), *(len(payload) * percent // 100 for percent in (10, 25, 50, 75, 90)), len(payload) - 1}
    reasons = {cut: rejected(payload[:cut]).reason for cut in sorted(cuts) if cut < len(payload)}
    assert set(reasons.values()) == {Reason.TRUNCATED}, reasons


@pytest.mark.parametrize("sample", SAMPLES)
def test_bytes_after_the_end_are_ignored(sample: str) -> None:
    assert np.array_equal(pixels(SAMPLES[sample] + b"\0" * 100), pixels(SAMPLES[sample]))


@pytest.mark.parametrize("sample", ["PNG", "PNG palette", "PNG animated"])
def test_a_damaged_byte_anywhere_in_a_png_is_corrupt(sample: str) -> None:
    payload = SAMPLES[sample]
    for position in range(8, len(payload)):
        damaged = bytearray(payload)
        damaged[position] ^= 0x55
        assert rejected(bytes(damaged)).reason is Reason.CORRUPT, position


def flipped(payload: bytes, position: int) -> bytes:
    return payload[:position] + bytes([payload[position] ^ 0xFF]) + payload[position + 1 :]


def jpeg_with_a_stray_marker() -> bytes:
    payload = SAMPLES["JPEG"]
    scan = payload.index(b"\xff\xda") + 30
    return payload[:scan] + b"\xff\x37" + payload[scan + 2 :]


@pytest.mark.parametrize(
    "payload",
    [
        jpeg_with_a_stray_marker(),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\2\xff\xda\0\2\xff\xd9",
        SAMPLES["GIF"][:-2] + b"\0\0\x99;",
        b"GIF89a\1\0\1\0\0\0\0;",
        flipped(SAMPLES["TIFF tiff_adobe_deflate"], 60),
        flipped(SAMPLES["TIFF group4"], 60),
        flipped(SAMPLES["WEBP lossless"], 30),
        SAMPLES["WEBP"].replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b"),
        png(4, 4, 8, 2, [b"\1\2\3" * 4] * 3),
        png(1, 9, 8, 3, [b"\1"] * 8, chunk(b"PLTE", bytes(6))),
        png(4, 4, 8, 3, [b"\0\0\0\0"] * 4),
        SAMPLES["TIFF strips"].replace(struct.pack("<HHII", 278, 4, 1, 4), struct.pack("<HHII", 278, 4, 1, 2)),
        png(4, 4, 8, 5, [b"\1\2\3" * 4] * 4),
        SAMPLES["PNG"].replace(b"IDAT", b"ID\0T"),
    ],
    ids=[
        "JPEG stray marker",
        "JPEG without anything",
        "JPEG without frame header",
        "GIF unknown block",
        "GIF without image",
        "TIFF deflate",
        "TIFF fax",
        "WebP lossless",
        "WebP start code",
        "PNG with too few rows",
        "PNG palette with too few rows",
        "PNG palette missing",
        "TIFF with too few strips",
        "PNG unknown colour type",
        "PNG chunk type",
    ],
)
def test_a_file_that_contradicts_itself_is_corrupt(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.CORRUPT


def test_a_file_of_countless_parts_is_turned_away_before_each_is_looked_into() -> None:
    chunks = png(8, 8, 8, 0, [bytes(8)] * 8, chunk(b"prVt", b"") * 100_000)
    assert rejected(chunks) == Rejected(Reason.UNSUPPORTED_FORMAT, "PNG: more than 65536 chunks")
    image = encode(RGB, "JPEG", progressive=True)
    scan = image[image.rindex(b"\xff\xda") : -2]
    assert isinstance(decode(image[:-2] + scan * 20 + image[-2:]), np.ndarray)
    scans = image[:-2] + scan * 100 + image[-2:]
    assert rejected(scans) == Rejected(Reason.UNSUPPORTED_FORMAT, "JPEG: more than 100 scans")


def test_pixel_data_beyond_the_last_row_is_not_decompressed() -> None:
    payload = png(1, 1, 8, 0, [bytes(100_000_000)])
    tracemalloc.start()
    assert pixels(payload).tolist() == [[[0]]]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "payload",
    [
        png(0, 4, 8, 2, [b""]),
        png(4, 0, 8, 2, [b""]),
        SAMPLES["JPEG"].replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 0, WIDTH)),
        SAMPLES["BMP"].replace(struct.pack("<II", WIDTH, HEIGHT), struct.pack("<II", WIDTH, 0)),
        SAMPLES["GIF"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", 0, HEIGHT)),
        SAMPLES["TIFF"].replace(struct.pack("<HHII", 256, 4, 1, WIDTH), struct.pack("<HHII", 256, 4, 1, 0)),
        SAMPLES["WEBP"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", WIDTH, 0)),
    ],
    ids=["PNG width", "PNG height", "JPEG", "BMP", "GIF", "TIFF", "WEBP"],
)
def test_a_side_of_zero_is_corrupt(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.CORRUPT


def test_a_detail_is_one_short_printable_line() -> None:
    detail = Rejected(Reason.CORRUPT, "a\nb\x1b[31m\udc80 " + "x" * 1000).detail
    assert detail.startswith("a b?[31m? x")
    assert len(detail) == 200
    assert detail.isprintable()


# --- hostile bytes -----------------------------------------------------------------------------------------------


def check(payload: bytes) -> None:
    decoded = decode(payload, Limits(max_pixels=1_000_000))
    if isinstance(decoded, Rejected):
        assert 0 < len(decoded.detail) <= 200
        assert decoded.detail.isprintable()
    else:
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3
        assert decoded.shape[2] in (1, 3)


signatures = st.sampled_from(
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0"]
)


@settings(max_examples=200, deadline=None)
@given(start=signatures, rest=st.binary(max_size=300))
@example(start=b"RIFF", rest=b"\xff\xff\xff\xffWEBPVP8X" + bytes(30))
def test_arbitrary_bytes_never_raise(start: bytes, rest: bytes) -> None:
    check(start + rest)


@settings(max_examples=600, deadline=None)
@given(
    sample=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=4),
    near_the_start=st.booleans(),
    keep=st.floats(0.3, 1),
)
def test_mutated_files_never_raise(
    sample: str, edits: list[tuple[float, bytes]], near_the_start: bool, keep: float
) -> None:
    payload = bytearray(SAMPLES[sample])
    for place, patch in edits:
        position = int(place * min(len(payload), 200 if near_the_start else len(payload)))
        payload[position : position + len(patch)] = patch
    check(bytes(payload[: int(len(payload) * keep) if keep < 0.6 else len(payload)]))


def png_with_right_checksums(kind: bytes, data: bytes) -> bytes:
    return png(2, 2, 8, 2, [b"\1\2\3\4\5\6"] * 2, chunk(kind, data))


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(
        [b"acTL", b"fcTL", b"iCCP", b"tRNS", b"PLTE", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"gAMA"]
    ),
    data=st.binary(max_size=60),
)
def test_odd_png_chunks_never_raise(kind: bytes, data: bytes) -> None:
    check(png_with_right_checksums(kind, data))


def test_nothing_reaches_stderr_or_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: not record.name.startswith("py4j"))  # Spark's, when a garbage collection runs
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        for sample in ("TIFF tiff_lzw", "TIFF group4", "TIFF jpeg", "TIFF tiff_adobe_deflate", "TIFF", "PNG", "JPEG"):
            for position in range(0, len(SAMPLES[sample]), 5):
                check(flipped(SAMPLES[sample], position))
        check(png_with_right_checksums(b"acTL", bytes(8)))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert capfd.readouterr() == ("", "")


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [check(SAMPLES["TIFF"]) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


# --- smaller -----------------------------------------------------------------------------------------------------


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


# --- gray --------------------------------------------------------------------------------------------------------


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


# --- rows of Spark's image schema --------------------------------------------------------------------------------


def arrays_of_every_kind() -> list[Array | None]:
    random = np.random.default_rng(2)
    shapes = [(3, 5, 1), None, (4, 2, 3), (1, 1, 4), None, (7, 7, 3)]
    return [None if shape is None else random.integers(0, 256, shape, np.uint8) for shape in shapes]


def assert_same(received: list[Array | None], expected: list[Array | None]) -> None:
    assert len(received) == len(expected)
    for one, other in zip(received, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or other is None or (one.shape == other.shape and np.array_equal(one, other))


def large(column: pa.StructArray) -> pa.StructArray:
    fields = [field.with_type(pa.large_binary()) if field.name == "data" else field for field in column.type]
    return column.cast(pa.struct(fields))


@pytest.mark.parametrize("widen", [lambda c: c, large], ids=["binary", "large_binary"])
@pytest.mark.parametrize(("start", "length"), [(0, 6), (1, 4), (2, 1), (5, 1), (3, 0)])
def test_arrays_survive_the_round_trip_through_rows(widen: Any, start: int, length: int) -> None:
    arrays = arrays_of_every_kind()
    column = widen(arrays_to_struct([f"file:/{row}" for row in range(6)], arrays))
    assert column.null_count == 2
    assert_same(struct_to_arrays(column.slice(start, length)), arrays[start : start + length])


def test_arrays_from_rows_share_the_columns_memory() -> None:
    column = arrays_to_struct(["a"], [np.ones((2, 2, 3), np.uint8)])
    (array,) = struct_to_arrays(column)
    buffer = column.field("data").buffers()[2]
    assert array is not None
    assert array.__array_interface__["data"][0] == buffer.address


def test_arrays_that_are_not_contiguous_make_the_right_rows() -> None:
    (array,) = struct_to_arrays(arrays_to_struct(["a"], [RGB[::2, ::-1, ::-1]]))
    assert_same([array], [RGB[::2, ::-1, ::-1]])


def test_no_rows_round_trip() -> None:
    assert struct_to_arrays(arrays_to_struct([], [])) == []


def row(**changes: Any) -> pa.StructArray:
    good = {"origin": "kafka://h/t/0/7", "height": 2, "width": 1, "nChannels": 3, "mode": 16, "data": b"abcdef"}
    return pa.array([None, good | changes], arrays_to_struct([], []).type).slice(1)


def test_an_undefined_row_has_no_array() -> None:
    assert struct_to_arrays(row(mode=-1, height=-1, width=-1, nChannels=-1, data=b"")) == [None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": 5}, "mode 5 with 3"),
        ({"mode": 0}, "mode 0 with 3"),
        ({"data": b"abc"}, "expected 2 x 1 x 3 bytes of data, received: 3"),
        ({"height": -2, "width": -1}, "received: 6"),
    ],
)
def test_a_row_that_contradicts_itself_is_named_by_its_origin(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SparkdlError, match=f"image kafka://h/t/0/7: .*{message}"):
        struct_to_arrays(row(**changes))


@pytest.mark.parametrize("array", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3))])
def test_rows_are_made_of_uint8_images_only(array: Array) -> None:
    with pytest.raises(SparkdlError, match=r"image a: expected uint8 \[H, W, 1, 3 or 4\], received"):
        arrays_to_struct(["a"], [array])


def test_the_image_type_is_sparks_own(spark: SparkSession) -> None:
    assert ImageSchema.columnSchema == IMAGE_TYPE


@pytest.mark.parametrize("large_types", ["false", "true"])
def test_spark_decodes_each_row_to_an_image_or_a_reason(spark: SparkSession, large_types: str) -> None:
    rows = [
        ("file:/good", SAMPLES["PNG"]),
        ("file:/gray", encode(GRAY, "PNG")),
        ("file:/cut", SAMPLES["JPEG"][:-20]),
        ("file:/text", b"hello"),
        ("file:/null", None),
    ]
    frame = spark.createDataFrame(rows, "origin string, payload binary")
    spark.conf.set("spark.sql.execution.arrow.useLargeVarTypes", large_types)
    try:
        decoded = frame.select("origin", decode_images("payload", frame.origin).alias("decoded")).select(
            "origin", "decoded.*"
        )
        assert decoded.schema["image"].dataType == IMAGE_TYPE
        result = {r.origin: r for r in decoded.collect()}
    finally:
        spark.conf.unset("spark.sql.execution.arrow.useLargeVarTypes")

    assert {origin: r.reason for origin, r in result.items()} == {
        "file:/good": None,
        "file:/gray": None,
        "file:/cut": "truncated",
        "file:/text": "unsupported_format",
        "file:/null": "empty",
    }
    assert all((r.image is None) == (r.reason is not None) == (r.detail is not None) for r in result.values())
    image = result["file:/good"].image
    assert (image.origin, image.height, image.width, image.nChannels, image.mode) == (
        "file:/good",
        HEIGHT,
        WIDTH,
        3,
        16,
    )
    assert bytes(image.data) == RGB[..., ::-1].tobytes()
    assert result["file:/gray"].image.mode == 0


def test_decoded_rows_feed_another_arrow_function(spark: SparkSession) -> None:
    @arrow_udf("string")
    def shape(images: pa.Array) -> pa.Array:
        return pa.array([None if array is None else str(array.shape) for array in struct_to_arrays(images)])

    frame = spark.createDataFrame([("a", SAMPLES["PNG"]), ("b", b"no")], "origin string, payload binary")
    rows = frame.select("origin", shape(decode_images("payload", "origin")["image"]).alias("shape")).collect()
    assert dict(rows) == {"a": str((HEIGHT, WIDTH, 3)), "b": None}
