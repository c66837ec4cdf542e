"""Valid images of every format and mode."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from heif_files import heif_images
from PIL import Image

from training.data.synthetic.digits import draw_png


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, *chunks: bytes, interlaced: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def interlaced_png(picture: Image.Image, samples: int, colour: int) -> bytes:
    """Return an interlaced PNG, which Pillow cannot write."""
    pixels, data = np.asarray(picture).reshape(picture.height, picture.width, samples), b""
    for left, top, x, y in ADAM7:
        data += b"".join(b"\0" + row.tobytes() for row in pixels[top::y, left::x] if row.size)
    return png(*picture.size, 8, colour, chunk(b"IDAT", zlib.compress(data)), interlaced=1)


def valid() -> dict[str, bytes]:
    """Return a drawn digit of 64 x 48 in every format and mode that Pillow writes, and in some that it does not."""
    with Image.open(io.BytesIO(draw_png(3, seed=1))) as drawn:
        colour = drawn.convert("RGB").resize((64, 48))
    gray, palette, bits = colour.convert("L"), colour.convert("P"), colour.convert("1")
    alpha = colour.convert("RGBA")
    alpha.putalpha(gray)
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    wide = Image.fromarray(np.asarray(gray).astype(np.float32) / 255)
    long = Image.fromarray(np.asarray(gray).astype(np.int32) * 1000)
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 100
    frames = {"save_all": True, "append_images": [colour.rotate(angle) for angle in (90, 180, 270)]}
    made = {
        f"PNG {image.mode}": encode(image, "PNG")
        for image in (colour, gray, palette, bits, alpha, deep, alpha.convert("LA"))
    }
    made |= {
        "PNG interlaced": interlaced_png(colour, 3, 2),
        "PNG interlaced gray": interlaced_png(gray, 1, 0),
        "PNG palette transparent": encode(palette, "PNG", transparency=bytes(range(256))),
        "PNG 4 bits": encode(palette.quantize(16), "PNG", bits=4),
        "PNG animated": encode(colour, "PNG", **frames),
        "PNG exif": encode(colour, "PNG", exif=exif),
        "PNG text": encode(colour, "PNG", icc_profile=b"x" * 300, dpi=(72, 72)),
    }
    made |= {f"JPEG {image.mode}": encode(image, "JPEG") for image in (colour, gray, colour.convert("CMYK"))}
    made |= {
        "JPEG progressive": encode(colour, "JPEG", progressive=True),
        "JPEG CMYK progressive": encode(colour.convert("CMYK"), "JPEG", progressive=True),
        "JPEG 4:4:4": encode(colour, "JPEG", subsampling=0),
        "JPEG restart": encode(colour, "JPEG", restart_marker_blocks=2),
        "JPEG exif": encode(colour, "JPEG", exif=exif, icc_profile=b"x" * 300),
        "WEBP": encode(colour, "WEBP"),
        "WEBP lossless": encode(colour, "WEBP", lossless=True),
        "WEBP RGBA": encode(alpha, "WEBP"),
        "WEBP RGBA lossless": encode(alpha, "WEBP", lossless=True, exact=True),
        "WEBP animated": encode(colour, "WEBP", **frames),
        "WEBP exif": encode(colour, "WEBP", exif=exif, icc_profile=b"x" * 300),
        "GIF": encode(palette, "GIF"),
        "GIF gray interlaced": encode(gray, "GIF", interlace=1),
        "GIF transparent": encode(palette, "GIF", transparency=3),
        "GIF animated": encode(colour, "GIF", **frames),
    }
    made |= {f"BMP {image.mode}": encode(image, "BMP") for image in (colour, gray, palette, bits, alpha)}
    made |= heif_images(colour, gray, alpha)
    made |= {"BMP RLE8": _rle8(gray)}
    plain = (
        colour,
        gray,
        palette,
        bits,
        alpha,
        deep,
        wide,
        long,
        colour.convert("CMYK"),
        colour.convert("LAB"),
        colour.convert("YCbCr"),
    )
    made |= {f"TIFF {image.mode}": encode(image, "TIFF") for image in plain}
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "jpeg"):
        made[f"TIFF {compression}"] = encode(colour, "TIFF", compression=compression, tiffinfo={278: 16})
    for compression in ("group3", "group4", "tiff_ccitt"):
        made[f"TIFF {compression}"] = encode(bits, "TIFF", compression=compression)
    made |= {
        "TIFF F lzw predictor": encode(wide, "TIFF", compression="tiff_lzw", tiffinfo={317: 3}),
        "TIFF pages": encode(colour, "TIFF", **frames),
        "TIFF tiled": tiff(
            [
                (256, 4, 64),
                (257, 4, 48),
                (258, 3, 8),
                (259, 3, 1),
                (262, 3, 1),
                (277, 3, 1),
                (322, 4, 32),
                (323, 4, 16),
                (324, 4, [8 + 512 * n for n in range(6)]),
                (325, 4, [512] * 6),
            ],
            data=gray.tobytes(),
        ),
        "TIFF big-endian": tiff(
            [
                (256, 4, 64),
                (257, 4, 48),
                (258, 3, 8),
                (259, 3, 1),
                (262, 3, 1),
                (273, 4, 8),
                (277, 3, 1),
                (278, 4, 48),
                (279, 4, 3072),
            ],
            data=gray.tobytes(),
            order=">",
        ),
    }
    return made


def _rle8(gray: Image.Image) -> bytes:
    rows = (
        b"".join(
            b"".join(bytes([1, value]) for value in gray.crop((0, y, gray.width, y + 1)).tobytes()) + b"\0\0"
            for y in reversed(range(gray.height))
        )
        + b"\0\1"
    )
    palette = b"".join(bytes([v, v, v, 0]) for v in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, *gray.size, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(rows), 0, 0, 54 + 1024) + header + palette + rows


Endian = Literal["little", "big"]
Tags = Sequence[tuple[int, int, int | Sequence[int] | bytes]]
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 13: 4, 16: 8}


def tiff(tags: Tags, data: bytes = b"", order: str = "<", following: int = 0) -> bytes:
    """Return a TIFF from (tag, type, value or values): `data` at byte 8, then the directory."""
    entries, outside = b"", b""
    start = 8 + len(data)
    after = start + 2 + 12 * len(tags) + 4
    for tag, kind, value in tags:
        values = [value] if isinstance(value, int) else value
        width = _WIDTHS[kind]
        endian: Endian = "little" if order == "<" else "big"
        packed = values if isinstance(values, bytes) else b"".join(v.to_bytes(width, endian) for v in values)
        if len(packed) > 4:
            where = struct.pack(order + "I", after + len(outside))
            outside += packed
        else:
            where = packed.ljust(4, b"\0")
        entries += struct.pack(order + "HHI", tag, kind, len(packed) // width) + where
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + data + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", following) + outside
