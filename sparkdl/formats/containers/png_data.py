"""PNG pixel data: how many bytes a picture needs, and how many its compressed stream has."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel, by colour type."""
_ONE_PASS = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced image: first column and row, steps between columns and rows."""
_PIECE = 65_536


def data_size(header: bytes) -> int:
    """Return the bytes of all filtered rows of a picture, from the 13 bytes of its IHDR."""
    width, height, depth, colour, interlaced = struct.unpack_from(">IIBBxxB", header)
    size = 0
    for left, top, step_x, step_y in _ADAM7 if interlaced else _ONE_PASS:
        columns, rows = -((left - width) // step_x), -((top - height) // step_y)
        if columns > 0 and rows > 0:
            size += rows * (1 + (columns * depth * _SAMPLES.get(colour, 1) + 7) // 8)
    return size


def has_bytes(stream: Iterable[bytes], size: int) -> bool:
    """Return whether a zlib stream, in parts, has at least `size` bytes. Needs constant memory."""
    inflater = zlib.decompressobj()
    for data in stream:
        while data and size > 0:
            size -= len(inflater.decompress(data, _PIECE))
            data = inflater.unconsumed_tail
        if size <= 0:
            return True
    # Decompress only the missing bytes, because more of them may be a decompression bomb.
    return size <= 0 or size <= len(inflater.flush())


def is_sound(stream: Iterable[bytes], size: int) -> bool:
    """Return whether a zlib stream, in parts, ends with the correct checksum after `size` bytes or slightly more."""
    inflater, room = zlib.decompressobj(), size + _PIECE
    try:
        for data in stream:
            while data and not inflater.eof and room > 0:
                room -= len(inflater.decompress(data, _PIECE))
                data = inflater.unconsumed_tail
        if not inflater.eof and room > 0:
            room -= len(inflater.flush())
    except zlib.error:
        return False
    return inflater.eof and room <= _PIECE
