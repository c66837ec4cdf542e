"""Hand-made attacks on AVIF and HEIC: declared sizes, endless boxes, items that contain themselves."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from fuzzing import ANY, DAMAGED
from heif_files import avif, box
from PIL import Image
from valid_files import valid

TOO_MANY_PIXELS = frozenset({"too_many_pixels"})
SIDES = (0, 1, 20_000, 0x7FFFFFFF, 0xFFFFFFFF)
MANY = 2**20


def heif_structures() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    for name, image in valid().items():
        if not name.startswith(("AVIF", "HEIC")):
            continue
        at = image.index(b"ispe") + 8
        for side in SIDES:
            changed = image[:at] + struct.pack(">II", side, side) + image[at + 8 :]
            yield f"{name} of {side} x {side}", changed, ANY if side < 20_000 else DAMAGED
        for kind in (b"ftyp", b"meta", b"iprp", b"ipco", b"ispe", b"iloc", b"mdat"):
            at = image.find(kind) - 4
            if at >= 0:
                for length in (0, 1, 7, 8, 0x7FFFFFFF, 0xFFFFFFFF):
                    changed = image[:at] + struct.pack(">I", length) + image[at + 4 :]
                    yield f"{name}, box {kind.decode()} of {length} bytes", changed, ANY
        at = image.index(b"iloc") + 8
        yield f"{name}, 65,535 items", image[:at] + b"\xff\xff" + image[at + 2 :], ANY
        yield f"{name}, a million boxes behind", image + box(b"free", b"") * MANY, ANY
        yield f"{name}, a million boxes before", box(b"ftyp", image[8:24]) + box(b"free", b"") * MANY + image[24:], ANY
    places = box(b"iloc", bytes(6) + b"\xff\xff" + struct.pack(">HHH", 1, 0, 0xFFFF) * 65_535)
    yield (
        "HEIC, 65,535 items in as many places",
        box(b"ftyp", b"heic\0\0\0\0mif1heic") + box(b"meta", bytes(4) + places),
        DAMAGED,
    )
    small, large = avif(Image.new("RGB", (64, 48))), avif(Image.new("RGB", (3000, 2000)))
    size = struct.pack(">II", 64, 48)
    yield "AVIF of 6 megapixels that says 64 x 48", large.replace(struct.pack(">II", 3000, 2000), size), ANY
    yield "AVIF made of itself", small.replace(b"av01Color", b"gridColor"), DAMAGED
    description = _description(b"grid", box(b"dimg", struct.pack(">HHH", 1, 1, 1)))
    yield "AVIF, a grid of itself", box(b"ftyp", b"avif\0\0\0\0avifmif1") + description + bytes(64), DAMAGED
    parts = box(b"dimg", struct.pack(">HH", 1, 65_535) + b"\0\2" * 65_535)
    yield "AVIF, a grid of 65,535 parts", box(b"ftyp", b"avif\0\0\0\0avifmif1") + _description(b"grid", parts), DAMAGED


def _description(kind: bytes, references: bytes) -> bytes:
    """Return a `meta` box of one item, 64 x 48 pixels."""
    item = box(b"infe", b"\2\0\0\0" + struct.pack(">HH", 1, 0) + kind + b"\0")
    sizes = box(b"ipco", box(b"ispe", bytes(4) + struct.pack(">II", 64, 48)))
    properties = box(b"ipma", bytes(4) + struct.pack(">IHBB", 1, 1, 1, 1))
    content = (
        box(b"pitm", bytes(4) + b"\0\1")
        + box(b"iinf", bytes(4) + b"\0\1" + item)
        + box(b"iprp", sizes + properties)
        + box(b"iref", bytes(4) + references)
    )
    return box(b"meta", bytes(4) + content)
