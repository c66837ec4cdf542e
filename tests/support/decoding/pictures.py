"""Encoded pictures of every kind that is read, made by Pillow or by hand, and what decoding them gives."""

from __future__ import annotations

import io
import struct
import zlib
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from needs import need
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Limits, Rejected

HAS_HEIC = find_spec("pillow_heif") is not None

Array = npt.NDArray[Any]

HEIGHT, WIDTH = 24, 40
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.uint8)
RGB = np.stack([X * 6, Y * 10, (X + Y) * 4], axis=-1)
GRAY = RGB[..., 0] // 2 + RGB[..., 1] // 2
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
TIFF_COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")


def encode(image: Image.Image | Array, image_format: str, **options: Any) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def heic(image: Image.Image | Array, **options: Any) -> bytes:
    """A HEIC; skips the test where the extra `heif` is not installed."""
    need(HAS_HEIC, "the extra heif is not installed")
    import pillow_heif

    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    target = io.BytesIO()
    pillow_heif.from_pillow(image).save(target, **options)
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
    "AVIF": encode(RGB, "AVIF", max_threads=1),
    "AVIF animated": encode(RGB, "AVIF", max_threads=1, save_all=True, append_images=[Image.fromarray(255 - RGB)]),
    **({"HEIC": heic(RGB), "HEIC grid": heic(RGB, tile_size=16)} if HAS_HEIC else {}),
}


def flipped(payload: bytes, position: int) -> bytes:
    return payload[:position] + bytes([payload[position] ^ 0xFF]) + payload[position + 1 :]
