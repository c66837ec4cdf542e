"""Valid images of every format and mode, and seeded ways to damage them."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from heif_files import heif_images
from PIL import Image

from sparkdl.images.rejection import Reason
from training.data.synthetic.digits import draw_png

PREDICTED = "prediction"
NOT_ADMITTED = frozenset(map(str, (Reason.EMPTY, Reason.TOO_MANY_BYTES, Reason.TOO_MANY_PIXELS)))
DAMAGED = frozenset(map(str, (Reason.UNSUPPORTED_FORMAT, Reason.TRUNCATED, Reason.CORRUPT))) | {"too_many_pixels"}
ANY = DAMAGED | {PREDICTED}
"""What a damaged image may end as, where its format does not let all damage be found."""


class Hostile(NamedTuple):
    """A payload, what kind of attack it is, and what it may end as: a reason or `PREDICTED`."""

    kind: str
    name: str
    payload: bytes
    expected: frozenset[str]


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
    """Pillow writes none."""
    pixels, data = np.asarray(picture).reshape(picture.height, picture.width, samples), b""
    for left, top, x, y in ADAM7:
        data += b"".join(b"\0" + row.tobytes() for row in pixels[top::y, left::x] if row.size)
    return png(*picture.size, 8, colour, chunk(b"IDAT", zlib.compress(data)), interlaced=1)


def valid() -> dict[str, bytes]:
    """An image of every format and mode that Pillow writes, and some that it does not: a drawn digit of 64 x 48."""
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
    """A TIFF made by hand: (tag, type, value or values), `data` at byte 8, then the directory."""
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


# Each damage is a function of a generator, the image and another image.

Damage = Callable[[random.Random, bytes, bytes], bytes]
_NUMBERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


def flip(rng: random.Random, image: bytes, _: bytes) -> bytes:
    damaged = bytearray(image)
    for _n in range(rng.randint(1, 8)):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def flip_header(rng: random.Random, image: bytes, _: bytes) -> bytes:
    damaged = bytearray(image)
    for _n in range(rng.randint(1, 4)):
        damaged[rng.randrange(min(64, len(damaged)))] = rng.randrange(256)
    return bytes(damaged)


def cut(rng: random.Random, image: bytes, _: bytes) -> bytes:
    return image[: rng.randrange(len(image) - 1)]


def splice(rng: random.Random, image: bytes, other: bytes) -> bytes:
    return image[: rng.randrange(len(image))] + other[rng.randrange(len(other)) :]


def number(rng: random.Random, image: bytes, _: bytes) -> bytes:
    """A field of 2 or 4 bytes becomes an extreme."""
    width = rng.choice((2, 4))
    order: Endian = rng.choice(("little", "big"))
    place = rng.randrange(max(min(len(image), 400) - width, 1))
    value = (rng.choice(_NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, order)
    return image[:place] + value + image[place + width :]


def overwrite(rng: random.Random, image: bytes, _: bytes) -> bytes:
    length, place = rng.randint(1, 64), rng.randrange(len(image))
    run = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return image[:place] + run + image[place + length :]


def duplicate_part(rng: random.Random, image: bytes, _: bytes) -> bytes:
    parts = parts_of(image)
    place = rng.randrange(len(parts))
    parts[place:place] = [parts[place]] * rng.randint(1, 5)
    return b"".join(parts)


def shuffle_parts(rng: random.Random, image: bytes, _: bytes) -> bytes:
    first, *rest = parts_of(image)
    rng.shuffle(rest)
    return b"".join([first, *rest])


def drop_part(rng: random.Random, image: bytes, _: bytes) -> bytes:
    parts = parts_of(image)
    del parts[rng.randrange(len(parts))]
    return b"".join(parts) or b"\0"


def flip_behind_checksum(rng: random.Random, image: bytes, other: bytes) -> bytes:
    """As `flip`, but inside one PNG chunk, whose checksum is made right again: it reaches the decompressor."""
    if not image.startswith(b"\x89PNG"):
        return flip(rng, image, other)
    parts = parts_of(image)
    place = rng.choice([n for n, part in enumerate(parts) if n and len(part) > 12])
    data = bytearray(parts[place][8:-4])
    for _n in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    parts[place] = chunk(parts[place][4:8], bytes(data))
    return b"".join(parts)


DAMAGES: tuple[Damage, ...] = (
    flip,
    flip_header,
    cut,
    splice,
    number,
    overwrite,
    duplicate_part,
    shuffle_parts,
    drop_part,
    flip_behind_checksum,
)


def parts_of(image: bytes) -> list[bytes]:
    """The chunks, segments or blocks of an image, the signature first; what has none in equal pieces."""
    if image.startswith(b"\x89PNG"):
        return [image[:8], *_walk(image, 8, lambda at: 12 + int.from_bytes(image[at : at + 4], "big"))]
    if image.startswith(b"RIFF"):
        return [
            image[:12],
            *_walk(image, 12, lambda at: 8 + (int.from_bytes(image[at + 4 : at + 8], "little") + 1) // 2 * 2),
        ]
    if image[4:8] == b"ftyp":
        return list(_walk(image, 0, lambda at: max(int.from_bytes(image[at : at + 4], "big"), 8)))
    if image.startswith(b"\xff\xd8"):
        pieces = image[2:].split(b"\xff\xdb")
        return [image[:2], pieces[0], *(b"\xff\xdb" + piece for piece in pieces[1:])]
    if image[:4] == b"II*\0" and len(image) > 8:
        start = int.from_bytes(image[4:8], "little")
        count = int.from_bytes(image[start : start + 2], "little")
        entries = [image[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
        return [image[: start + 2], *entries, image[start + 2 + 12 * count :]]
    size = max(len(image) // 8, 1)
    return [image[at : at + size] for at in range(0, len(image), size)]


def _walk(image: bytes, start: int, length: Callable[[int], int]) -> Iterator[bytes]:
    while start < len(image):
        end = start + length(start)
        yield image[start:end]
        start = end


def expected_of(damage: Damage, name: str) -> frozenset[str]:
    """What a damaged image may end as. Some damage is sure to be found."""
    if damage is cut:
        # A page or frame that is missing is not missed, nor is what follows the last pixel.
        return ANY | {"empty"}
    return ANY


def mutations(seed: int, count: int) -> Iterator[Hostile]:
    """`count` damaged images, each format and each damage in turn."""
    rng, images = random.Random(seed), valid()
    names = sorted(images)
    for number_of in range(count):
        damage = DAMAGES[number_of % len(DAMAGES)]
        name, other = rng.choice(names), rng.choice(names)
        payload = damage(rng, images[name], images[other])
        if payload == images[name]:
            continue
        yield Hostile(f"fuzz: {damage.__name__}", name, payload, expected_of(damage, name))
