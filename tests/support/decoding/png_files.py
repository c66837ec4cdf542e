"""PNG files of every colour type, depth, filter and interlacing, made by hand."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from pictures import Array, chunk

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples a pixel, by colour type."""
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
FILTERS = (0, 1, 2, 3, 4, None)
"""Of each row; None for one after the other."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def write_png(
    samples: Array, depth: int, colour: int, *before: bytes, interlaced: bool = False, row_filter: int | None = 0
) -> bytes:
    """A PNG of samples [H, W, C], with chunks before the pixel data."""
    height, width, _ = samples.shape
    passes = [samples[top::y, left::x] for left, top, x, y in _ADAM7] if interlaced else [samples]
    data = b"".join(_filtered(part, depth, row_filter) for part in passes if part.size)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    packed = zlib.compress(data)
    half = len(packed) // 2
    parts = (chunk(b"IDAT", packed[:half]), chunk(b"IDAT", packed[half:]))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + b"".join(parts) + chunk(b"IEND", b"")


def _filtered(samples: Array, depth: int, row_filter: int | None) -> bytes:
    step = max(samples.shape[2] * depth // 8, 1)
    above, out = b"", []
    for number, row in enumerate(samples):
        raw = _packed(row.ravel(), depth)
        above = above or bytes(len(raw))
        kind = number % 5 if row_filter is None else row_filter
        out.append(bytes([kind]) + _difference(kind, raw, above, step))
        above = raw
    return b"".join(out)


def _packed(values: Array, depth: int) -> bytes:
    if depth == 16:
        return bytes(values.astype(">u2").tobytes())
    bits = (values[:, np.newaxis] >> np.arange(depth - 1, -1, -1)) & 1
    return bytes(np.packbits(bits.ravel()).tobytes())


def _difference(kind: int, raw: bytes, above: bytes, step: int) -> bytes:
    out = bytearray()
    for place, value in enumerate(raw):
        left = raw[place - step] if place >= step else 0
        corner = above[place - step] if place >= step else 0
        guess = (0, left, above[place], (left + above[place]) // 2, _paeth(left, above[place], corner))[kind]
        out.append((value - guess) & 255)
    return bytes(out)


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda value: abs(guess - value))
