"""BMP files of every header, depth and compression, made by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from pictures import Array

HEADERS = (12, 40, 52, 56, 64, 108, 124)
"""Sizes of the information header: OS/2 1, Windows 3, two with masks, OS/2 2, and versions 4 and 5."""


def write_bmp(
    rows: Sequence[bytes] | bytes,
    width: int,
    height: int,
    bits: int,
    *,
    header: int = 40,
    palette: Array | None = None,
    compression: int = 0,
    masks: Sequence[int] = (),
    is_top_down: bool = False,
    colours: int | None = None,
) -> bytes:
    """A BMP of rows from the top, each without padding, or of pixel data as it is.

    Parameters
    ----------
    palette
        Colours [N, 3], RGB.
    colours
        Their number as the header says it. Default: that of `palette`, where the format can say it.
    """
    if isinstance(rows, bytes):
        data = rows
    else:
        padded = [row + bytes(-len(row) % 4) for row in rows]
        data = b"".join(padded if is_top_down else padded[::-1])
    table = b""
    if palette is not None:
        table = b"".join(bytes(colour[::-1]) + bytes(header != 12) for colour in palette.astype(np.uint8))
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        count = (0 if palette is None else len(palette)) if colours is None else colours
        sides = (width, -height if is_top_down else height)
        head = struct.pack("<IiiHHIIiiII", header, *sides, 1, bits, compression, len(data), 0, 0, count, 0)
        if masks:
            head += struct.pack(f"<{len(masks)}I", *masks)
        head = head.ljust(header, b"\0")
    start = 14 + len(head) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + table + data


def packed(row: Array, bits: int) -> bytes:
    """A row of indices, the first pixel in the highest bits."""
    return np.packbits(((row[:, np.newaxis] >> np.arange(bits - 1, -1, -1)) & 1).ravel()).tobytes()
