"""GIF files made by hand: palettes of every size, frames anywhere on the canvas."""

from __future__ import annotations

import struct

import numpy as np
from pictures import Array


def write_gif(
    index: Array,
    palette: Array | None,
    *,
    canvas: tuple[int, int] | None = None,
    at: tuple[int, int] = (0, 0),
    is_local: bool = False,
    interlaced: bool = False,
    transparent: int | None = None,
    disposal: int = 0,
    before: bytes = b"",
    trailer: bytes = b"\0;",
) -> bytes:
    """A GIF of one frame of indices [H, W].

    Parameters
    ----------
    palette
        Colours [2**N, 3], of the picture if `is_local`.
    canvas, at
        Width and height of the canvas, and where the frame lies on it. Default: the frame alone.
    before
        Blocks before the frame.
    trailer
        What follows the pixel data.
    """
    height, width = index.shape
    size = 0 if palette is None else max(len(palette) - 1, 1).bit_length() - 1
    flags = 0 if palette is None else 0x80 | size
    table = b"" if palette is None else palette.astype(np.uint8).tobytes().ljust(6 << size, b"\0")
    screen = struct.pack("<HHBBB", *(canvas or (width, height)), 0 if is_local else flags, 0, 0)
    control = b""
    if transparent is not None or disposal:
        bits = disposal << 2 | (transparent is not None)
        control = b"!\xf9\4" + bytes([bits, 0, 0, transparent or 0]) + b"\0"
    image = struct.pack("<BHHHHB", 0x2C, *at, width, height, (flags if is_local else 0) | interlaced << 6)
    rows = [row for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(start, height, step)]
    stored = index[rows] if interlaced else index
    minimum = max(int(index.max()).bit_length(), 2)
    parts = (b"GIF89a", screen, b"" if is_local else table, before, control, image, table if is_local else b"")
    return b"".join([*parts, bytes([minimum]), sub_blocks(lzw(stored.ravel().tolist(), minimum)), trailer])


def sub_blocks(data: bytes) -> bytes:
    """Data in blocks of at most 255 bytes, without the terminator."""
    pieces = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"".join(bytes([len(piece)]) + piece for piece in pieces)


def lzw(values: list[int], minimum: int, *, is_ended: bool = True) -> bytes:
    """GIF's variant of LZW: a clear code first, codes of up to 12 bits, the lowest bit first."""
    clear, end = 1 << minimum, (1 << minimum) + 1
    codes: list[tuple[int, int]] = [(clear, minimum + 1)]
    known: dict[tuple[int, ...], int] = {(value,): value for value in range(clear)}
    width, last = minimum + 1, end
    word: tuple[int, ...] = ()
    for value in values:
        longer = (*word, value)
        if longer in known:
            word = longer
            continue
        codes.append((known[word], width))
        last += 1
        known[longer] = last
        if last == 1 << width:
            width += 1
        if last == 4095:
            codes.append((clear, 12))
            known = {(single,): single for single in range(clear)}
            width, last = minimum + 1, end
        word = (value,)
    codes.append((known[word], width))
    if last + 1 == 1 << width and width < 12:
        width += 1
    if is_ended:
        codes.append((end, width))
    total = at = 0
    for code, bits in codes:
        total |= code << at
        at += bits
    return total.to_bytes((at + 7) // 8, "little")
