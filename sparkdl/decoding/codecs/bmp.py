"""BMP with a colour table, plain or run-length coded, to indices and colours; Pillow decodes all other kinds."""

from __future__ import annotations

import io
from typing import NoReturn

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile

from sparkdl.formats.containers.bmp import RLE4, RLE8, Header, read_header
from sparkdl.formats.containers.structure import reject_truncated
from sparkdl.images.pixels import Pixels

_END_OF_ROW, _END_OF_BITMAP, _DELTA = range(3)


def open_bmp(file: io.BytesIO) -> Image.Image:
    """Return the image of a BMP that passed `scan_bmp`; the mode is P if it has a colour table.

    Indices beyond the table are black. Pixels that run lengths skip have index 0.
    """
    payload = file.getvalue()
    header = read_header(payload)
    if header.bits > 8:
        return BmpImageFile(file)
    indices = (_expand if header.compression in (RLE8, RLE4) else _unpack)(payload, header)
    image = Image.fromarray(indices if header.is_top_down else indices[::-1], "L")
    image.putpalette(_colours(payload, header))
    image.format = "BMP"
    return image


def _colours(payload: bytes, header: Header) -> bytes:
    stop = header.palette_start + header.colours * header.colour_bytes
    table = np.frombuffer(payload[header.palette_start : stop].ljust(stop - header.palette_start, b"\0"), np.uint8)
    return table.reshape(header.colours, header.colour_bytes)[:, 2::-1].tobytes().ljust(768, b"\0")


def _unpack(payload: bytes, header: Header) -> Pixels:
    size = header.stride * header.height
    rows = np.frombuffer(payload[header.start : header.start + size].ljust(size, b"\0"), np.uint8)
    rows = rows.reshape(header.height, header.stride)[:, : header.row_bytes]
    if header.bits < 8:
        steps = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
        rows = ((rows[..., np.newaxis] >> steps) & np.uint8((1 << header.bits) - 1)).reshape(header.height, -1)
    return rows[:, : header.width]


def _reject_early_end(header: Header, size: int, row: int) -> NoReturn:
    reject_truncated(f"BMP: {size} bytes, ends in row {row + 1} of {header.height}")


def _expand(payload: bytes, header: Header) -> Pixels:
    """Decode run lengths; raise `Refused` if they end before the last row."""
    width, height, size = header.width, header.height, len(payload)
    pixels, x, y, position = bytearray(width * height), 0, 0, header.start
    while y < height and not (y == height - 1 and x >= width):
        if position + 2 > size:
            _reject_early_end(header, size, y)
        count, value, position = payload[position], payload[position + 1], position + 2
        if count:
            run = bytes((value >> 4, value & 15)) * (count // 2 + 1) if header.bits == 4 else bytes([value]) * count
        elif value == _END_OF_ROW:
            x, y = 0, y + 1
            continue
        elif value == _END_OF_BITMAP:
            break
        else:
            stored = 2 if value == _DELTA else (value + 1) // 2 if header.bits == 4 else value
            if position + stored > size:
                _reject_early_end(header, size, y)
            count, run = value, payload[position : position + stored]
            position += stored + stored % 2
            if value == _DELTA:
                x, y = x + run[0], y + run[1]
                continue
            if header.bits == 4:
                run = bytes(half for byte in run for half in (byte >> 4, byte & 15))
        room = min(count, width - x)
        if room > 0:
            pixels[y * width + x : y * width + x + room] = run[:room]
        x += count
    return np.frombuffer(pixels, np.uint8).reshape(height, width)
