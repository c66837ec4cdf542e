"""Hand-made attacks: declared sizes, decompression bombs, loops, palettes, and files of two kinds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

from fuzzing import ANY, DAMAGED, PREDICTED, Hostile
from heif_bombs import heif_structures
from PIL import Image
from tiff_bombs import endless_structures, tiff_structures
from valid_files import chunk, encode, png, tiff, valid

from sparkdl.images.rejection import DEFAULT_LIMITS

P = frozenset({PREDICTED})
TOO_MANY_PIXELS = frozenset({"too_many_pixels"})
FOUND = DAMAGED
UNSUPPORTED = frozenset({"unsupported_format"})
LATE = frozenset({"decoder_timeout"})
MIB = 2**20
MEGABYTES = 30
"""Bytes of metadata, just below `Limits.max_bytes`."""
SIZES = ((0, 0), (0, 5), (1, 1), (20_000, 20_000), (65_535, 65_535), (0x7FFFFFFF, 1), (0xFFFFFFFF, 0xFFFFFFFF))
FILLED = 7000
"""The side of a picture just below `Limits.max_pixels`."""


Made = Iterator[tuple[str, bytes, frozenset[str]]]


def _of_size(width: int, height: int) -> frozenset[str]:
    # With a size of 1 x 1 the file has too little or too much pixel data, which the formats handle differently.
    pixels = width * height
    return ANY if 0 < pixels <= DEFAULT_LIMITS.max_pixels else FOUND if pixels == 0 else TOO_MANY_PIXELS | FOUND


def declared_sizes() -> Made:
    images = valid()
    for width, height in SIZES:
        name, expected = f"{width} x {height}", _of_size(width, height)
        short = (width & 0xFFFF, height & 0xFFFF)
        of_short = _of_size(*short)
        data = chunk(b"IDAT", zlib.compress(b"\0" * 100))
        yield f"PNG {name}", png(width, height, 8, 2, data), expected
        jpeg = images["JPEG L"].replace(struct.pack(">HH", 48, 64), struct.pack(">HH", *short[::-1]))
        yield f"JPEG {name}", jpeg, of_short
        gif = images["GIF"]
        screen = gif[:6] + struct.pack("<HH", *short) + gif[10:]
        yield f"GIF screen {name}", screen, of_short | P if 0 in short else of_short
        yield f"GIF frame {name}", gif.replace(struct.pack("<4H", 0, 0, 64, 48), struct.pack("<4H", 0, 0, *short)), ANY
        yield (
            f"BMP {name}",
            images["BMP RGB"].replace(struct.pack("<II", 64, 48), struct.pack("<II", width, height)),
            ANY,
        )
        tags = [
            (256, 4, width),
            (257, 4, height),
            (258, 3, 8),
            (259, 3, 1),
            (262, 3, 1),
            (273, 4, 8),
            (277, 3, 1),
            (279, 4, 100),
        ]
        yield f"TIFF {name}", tiff(tags, data=bytes(100)), expected
        tags[-1] = (279, 4, 0xFFFFFFFF)
        yield f"TIFF strip of 4 GB {name}", tiff(tags, data=bytes(100)), FOUND
        riff = (
            b"VP8X"
            + struct.pack("<II", 10, 0)
            + (width & 0xFFFFFF).to_bytes(3, "little")
            + (height & 0xFFFFFF).to_bytes(3, "little")
        )
        yield f"WEBP {name}", b"RIFF" + struct.pack("<I", len(riff) + 4) + b"WEBP" + riff, FOUND
    yield "PNG chunk of 4 GB", images["PNG L"][:33] + b"\xff\xff\xff\xffIDAT" + bytes(100), FOUND
    yield "WEBP chunk of 4 GB", images["WEBP"][:16] + b"\xff\xff\xff\xff" + images["WEBP"][20:], FOUND | P
    yield "WEBP file of 4 GB", b"RIFF\xff\xff\xff\xff" + images["WEBP"][8:], FOUND | P
    yield "BMP palette of 4 billion", images["BMP L"][:46] + b"\xff\xff\xff\xff" + images["BMP L"][50:], ANY
    yield "BMP pixels at 4 GB", images["BMP L"][:10] + b"\xff\xff\xff\xff" + images["BMP L"][14:], FOUND


def pixel_bombs() -> Made:
    for side, expected in ((FILLED, P), (8000, TOO_MANY_PIXELS)):
        white = Image.new("RGB", (side, side), "white")
        gray, name = white.convert("L"), f"of {side} x {side}"
        yield f"WEBP {name}", encode(white, "WEBP", lossless=True, method=0), expected
        yield f"WEBP RGBA {name}", encode(white.convert("RGBA"), "WEBP", lossless=True, method=0), expected
        yield f"PNG {name}", encode(white, "PNG", compress_level=1), expected
        yield f"PNG RGBA {name}", encode(white.convert("RGBA"), "PNG", compress_level=1), expected
        yield f"JPEG progressive {name}", encode(white, "JPEG", progressive=True), expected
        yield f"GIF {name}", encode(gray.convert("P"), "GIF"), expected
        yield f"TIFF group 4 {name}", encode(gray.convert("1"), "TIFF", compression="group4"), expected
        one_strip = {"compression": "tiff_adobe_deflate", "tiffinfo": {278: side}}
        yield f"TIFF one strip {name}", encode(white, "TIFF", **one_strip), expected
        yield f"TIFF float {name}", encode(gray.convert("F"), "TIFF", **one_strip), expected
        yield f"TIFF CMYK {name}", encode(white.convert("CMYK"), "TIFF", **one_strip), expected
    yield "PNG long", encode(Image.new("1", (1, 1_000_000)), "PNG"), P
    yield "PNG 1 x 1 with a gigabyte of rows", png(1, 1, 8, 0, chunk(b"IDAT", zeros(1024 * MIB))), ANY
    frames = [Image.new("P", (2000, 2000), n % 256) for n in range(50)]
    yield "GIF of 50 frames", encode(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2), P
    canvas = [Image.new("RGB", (3000, 3000), (n, n, n)) for n in range(10)]
    yield (
        "WEBP of 10 frames",
        encode(canvas[0], "WEBP", save_all=True, append_images=canvas[1:], lossless=True, method=0),
        P,
    )


def scan_bombs() -> Made:
    """Yield progressive JPEGs that refine their coefficients repeatedly; each short scan processes all of them."""
    image = encode(Image.new("L", (FILLED, FILLED), 128), "JPEG", progressive=True)
    last = image.rindex(b"\xff\xda")
    scan = image[last:-2]
    yield "JPEG of 50 scans", image[:-2] + scan * 40 + image[-2:], LATE | P
    yield "JPEG of megabytes of scans", image[:-2] + scan * (8 * MIB // len(scan)) + image[-2:], UNSUPPORTED


def zeros(length: int) -> bytes:
    """Return `length` zeros, compressed to a thousandth."""
    deflater, piece = zlib.compressobj(9), bytes(MIB)
    packed = [deflater.compress(piece[: min(MIB, length - at)]) for at in range(0, length, MIB)]
    return b"".join([*packed, deflater.flush()])


def text_bombs() -> Made:
    body, large = chunk(b"IDAT", zlib.compress(bytes(9 * 8))), zeros(256 * MIB)
    compressed = {b"zTXt": b"k\0\0" + large, b"iTXt": b"k\0\1\0\0\0" + large, b"iCCP": b"k\0\0" + large}
    for kind, data in compressed.items():
        yield f"PNG {kind.decode()} of 256 MB before", png(8, 8, 8, 0, chunk(kind, data), body), ANY
        yield f"PNG {kind.decode()} of 256 MB behind", png(8, 8, 8, 0, body, chunk(kind, data)), ANY
    many = chunk(b"zTXt", b"k\0\0" + zeros(MIB - 1)) * 1000
    yield "PNG of 1,000 zTXt of 1 MB", png(8, 8, 8, 0, many, body), ANY
    strips = zeros(512 * MIB)
    for compression in (8, 32946):
        tags = [
            (256, 4, 64),
            (257, 4, 64),
            (258, 3, 8),
            (259, 3, compression),
            (262, 3, 1),
            (273, 4, 8),
            (277, 3, 1),
            (278, 4, 64),
            (279, 4, len(strips)),
        ]
        yield f"TIFF strip of 512 MB for 64 rows, {compression}", tiff(tags, data=strips), ANY


def metadata() -> Made:
    size, images = MEGABYTES * MIB, valid()
    body, block = chunk(b"IDAT", zlib.compress(bytes(9 * 8))), 65_533
    loop = b"Exif\0\0" + ifd_loop()
    yield "PNG tEXt", png(8, 8, 8, 0, chunk(b"tEXt", b"k\0" + b"x" * size), body), ANY
    yield "PNG eXIf", png(8, 8, 8, 0, chunk(b"eXIf", ifd_loop() + bytes(size)), body), P
    yield "more than is admitted", bytes(DEFAULT_LIMITS.max_bytes + 1), frozenset({"too_many_bytes"})
    yield "PNG of 10 million colours", png(8, 8, 8, 3, chunk(b"PLTE", b"abc" * (size // 3)), body), ANY
    yield "PNG private chunks", png(8, 8, 8, 0, chunk(b"prVt", b"") * (size // 12), body), UNSUPPORTED
    jpeg = images["JPEG RGB"]
    for marker, data in (
        (0xE1, loop),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
        (0xE2, b"ICC_PROFILE\0\1\1"),
        (0xFE, b""),
    ):
        segment = b"\xff" + bytes([marker]) + struct.pack(">H", block + 2) + data.ljust(block, b"\xfe")
        yield f"JPEG {data[:4]!r} segments", jpeg[:2] + segment * (size // len(segment)) + jpeg[2:], ANY
    gif = images["GIF"]
    comments = b"\x21\xfe" + (b"\xff" + b"c" * 255) * (size // 256) + b"\0"
    header = 13 + (3 << (gif[10] & 7) + 1)
    yield "GIF comments", gif[:header] + comments + gif[header:], P
    yield "GIF extensions", gif[:header] + b"\x21\xfe\0" * (size // 3) + gif[header:], P | LATE
    for kind in (b"EXIF", b"ICCP", b"XMP "):
        extended = b"VP8X" + struct.pack("<II", 10, 0x2C) + b"\x3f\0\0\x2f\0\0"
        data = kind + struct.pack("<I", size) + (ifd_loop() + b" " * size)[:size]
        image = images["WEBP lossless"][12:]
        parts = extended + (data + image if kind == b"ICCP" else image + data)
        yield f"WEBP {kind.decode()}", b"RIFF" + struct.pack("<I", len(parts) + 4) + b"WEBP" + parts, P
    bmp = images["BMP RGB"]
    yield "BMP gap", bmp[:10] + struct.pack("<I", 54 + size) + bmp[14:54] + bytes(size) + bmp[54:], P
    plain = [(256, 4, 8), (257, 4, 8), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (279, 4, 64)]
    for tag, type_ in ((270, 2), (700, 1), (34665, 7), (37724, 7), (34675, 7)):
        yield f"TIFF tag {tag}", tiff([*plain, (tag, type_, bytes(size))], data=bytes(64)), ANY


def ifd_loop() -> bytes:
    """Return EXIF in which each directory refers to itself."""
    pointers = (0x8769, 0x8825, 0xA005, 0x014A)
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, 8) for tag in pointers)
    return b"II*\0" + struct.pack("<IH", 8, len(pointers)) + entries + struct.pack("<I", 8)


def palettes() -> Made:
    rows = chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 8) * 8))
    for colours in (0, 1, 255, 256, 257, 10_000, 1_000_000):
        yield f"PNG of {colours} colours", png(8, 8, 8, 3, chunk(b"PLTE", b"abc" * colours), rows), ANY
        transparent = chunk(b"tRNS", bytes(colours))
        yield f"PNG of {colours} transparencies", png(8, 8, 8, 3, chunk(b"PLTE", b"abc" * 256), transparent, rows), ANY
    yield "PNG of 1,000 palettes", png(8, 8, 8, 3, chunk(b"PLTE", b"abc" * 256) * 1000, rows), ANY
    for bits in (1, 8, 16):
        tags = [
            (256, 4, 8),
            (257, 4, 8),
            (258, 3, bits),
            (259, 3, 1),
            (262, 3, 3),
            (273, 4, 8),
            (277, 3, 1),
            (279, 4, 128),
        ]
        for count in (0, 3, 3 * 256, 3 * 65_536):
            yield f"TIFF of {bits} bits, {count} colours", tiff([*tags, (320, 3, [7] * count)], data=b"\xff" * 128), ANY
    gif = valid()["GIF"]
    yield (
        "GIF without its palette",
        gif[:10] + bytes([gif[10] & 0x7F]) + gif[11:13] + gif[13 + (3 << (gif[10] & 7) + 1) :],
        ANY,
    )


def polyglots() -> Made:
    images = valid()
    page, script, archive = (
        b"<html><script>alert(1)</script></html>",
        b"<?php system($_GET[0]); ?>",
        b"PK\5\6" + bytes(18),
    )
    for name in ("PNG RGB", "JPEG RGB", "GIF", "BMP RGB", "TIFF RGB", "WEBP lossless"):
        for what, tail in (("page", page), ("script", script), ("archive", archive), ("other image", images["PNG L"])):
            yield f"{name} and {what}", images[name] + tail, P if name != "WEBP lossless" else ANY
        yield f"page and {name}", page + images[name], UNSUPPORTED
        yield f"PNG signature and {name}", b"\x89PNG\r\n\x1a\n" + images[name], FOUND
        yield f"JPEG signature and {name}", b"\xff\xd8\xff" + images[name], FOUND
        yield f"GIF signature and {name}", b"GIF89a" + images[name], FOUND | TOO_MANY_PIXELS
        yield f"program and {name}", b"\x7fELF" + images[name], UNSUPPORTED
    yield "PDF with a JPEG", b"%PDF-1.7\nstream\n" + images["JPEG RGB"], UNSUPPORTED
    yield "EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UNSUPPORTED
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>', UNSUPPORTED
    yield "JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100), UNSUPPORTED
    yield "AVIF", b"\0\0\0\x1cftypavif" + bytes(100), FOUND


def small() -> Made:
    for mode, image_format in (
        ("L", "PNG"),
        ("RGB", "JPEG"),
        ("P", "GIF"),
        ("RGB", "BMP"),
        ("RGB", "TIFF"),
        ("RGB", "WEBP"),
    ):
        yield f"1 x 1 {image_format}", encode(Image.new(mode, (1, 1)), image_format), P
    yield "nothing", b"", frozenset({"empty"})


def large_batch() -> Made:
    """Yield one Arrow batch whose pixels would take 38 GB."""
    white = encode(Image.new("RGB", (FILLED, FILLED), "white"), "PNG")
    for _ in range(256):
        yield "white", white, P


QUICK = (declared_sizes, heif_structures, tiff_structures, palettes, polyglots, small)
SLOW = (pixel_bombs, scan_bombs, text_bombs, metadata, endless_structures)


def attacks(kinds: Sequence[Callable[[], Made]]) -> Iterator[Hostile]:
    """Yield each attack of these kinds, with its allowed results."""
    for made in kinds:
        for name, payload, expected in made():
            yield Hostile(made.__name__.replace("_", " "), name, payload, expected)
