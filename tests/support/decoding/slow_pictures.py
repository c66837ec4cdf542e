"""Images that take a decoder long."""

from __future__ import annotations

import io
import struct

from isolated import SLOW_SIDE
from PIL import Image


def many_scans() -> bytes:
    """A JPEG of 199 KB and 100 scans, each of which goes over 49 million pixels."""
    target = io.BytesIO()
    Image.new("L", (SLOW_SIDE, SLOW_SIDE), 128).save(target, "JPEG", progressive=True)
    image = target.getvalue()
    scan = image[image.rindex(b"\xff\xda") : -2]
    return image[:-2] + scan * (100 - image.count(b"\xff\xda")) + image[-2:]


def short_runs(side: int = 3000) -> bytes:
    """A run-length encoded bitmap each of whose pixels is a separate run."""
    pixels = b"\x01\x07" * (side * side) + b"\0\1"
    palette = bytes(range(256)) * 4
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 2835, 2835, 256, 0)
    start = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + palette + pixels
