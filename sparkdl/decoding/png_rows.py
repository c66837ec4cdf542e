"""Find PNG files whose pixel data ends before the last row: the decoder leaves the rest black without an error."""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from sparkdl.formats.png import chunks

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel, by colour type."""
_ONE_PASS = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced image: first column and row, steps between columns and rows."""


def lacks_rows(image: Image.Image, payload: bytes) -> bool:
    """Return whether the pixel data of a PNG that passed `scan_png`, loaded as `image`, ends before the last row."""
    # Rows that are missing are zero. So are many last rows that are not, but only those pay for the full count.
    last_row = image.resize(
        (image.width, 1), Image.Resampling.NEAREST, (0, image.height - 1, image.width, image.height)
    )
    if "interlace" not in image.info and last_row.tobytes().strip(b"\0"):
        return False
    return _pixel_data_is_short(payload)


def _pixel_data_is_short(payload: bytes) -> bool:
    # Decompressed in pieces and counted, so the memory needed is constant.
    width, height, depth, colour, interlaced = struct.unpack_from(">IIBBxxB", payload, 16)
    missing = 0
    for left, top, step_x, step_y in _ADAM7 if interlaced else _ONE_PASS:
        columns, rows = -((left - width) // step_x), -((top - height) // step_y)
        if columns > 0 and rows > 0:
            missing += rows * (1 + (columns * depth * _SAMPLES[colour] + 7) // 8)
    inflater = zlib.decompressobj()
    for chunk in chunks(payload):
        data = payload[chunk.start : chunk.stop] if chunk.kind == b"IDAT" else b""
        while data and missing > 0:
            missing -= len(inflater.decompress(data, 65536))
            data = inflater.unconsumed_tail
        if missing <= 0:
            return False
    # Only what is missing is asked for: what follows it may be a bomb.
    return missing > 0 and missing > len(inflater.flush())
