"""WebP: RIFF chunks. The first frame of an animation is read; metadata and data after the picture are left out.

The size in the RIFF header is not used, because the chunks have their own sizes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from sparkdl.formats.containers.orientation import orientation_of
from sparkdl.formats.containers.picture import UPRIGHT, Frame, Picture
from sparkdl.formats.containers.structure import CheckSize, reject_corrupt, reject_truncated, reject_unsupported

_MAX_CHUNKS = 65_536
_ANIMATED, _ALPHA = 0x02, 0x10
_FRAME_HEADER = 16


class _Chunk(NamedTuple):
    kind: bytes
    begin: int
    start: int
    stop: int
    """The end according to its length, which may be past the end of the file."""


def scan_webp(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure; return the first picture only, or the original file if it contains nothing else."""
    size = len(payload)
    if size < 30:
        whole = 8 + int.from_bytes(payload[4:8], "little")
        if whole > size:
            reject_truncated(f"WEBP: {size} of {whole} bytes")
        reject_corrupt(f"WEBP: {size} bytes")
    first = next(_chunks(payload, 12, size))
    if first.kind == b"VP8X":
        return _extended(payload, first, check_size)
    if first.kind not in (b"VP8 ", b"VP8L"):
        reject_corrupt(f"WEBP: no frame header in the first chunk, {first.kind!r}")
    check_size(*_picture_size(payload, first))
    _check_end(payload, first)
    padded = first.stop + (first.stop - first.start) % 2
    if padded <= size and 8 + int.from_bytes(payload[4:8], "little") == padded:
        return Picture(payload)
    return Picture(_file(payload, first))


def _extended(payload: bytes, header: _Chunk, check_size: CheckSize) -> Picture:
    canvas = _number(payload, 24) + 1, _number(payload, 27) + 1
    check_size(*canvas)
    size, is_animated = len(payload), bool(payload[20] & _ANIMATED)
    metadata: dict[bytes, bytes] = {}
    alpha: _Chunk | None = None
    picture: _Chunk | None = None
    frame: _Chunk | None = None
    for number, chunk in enumerate(_chunks(payload, header.stop + (header.stop - header.start) % 2, size), 1):
        if number > _MAX_CHUNKS:
            reject_unsupported(f"WEBP: more than {_MAX_CHUNKS} chunks")
        if chunk.kind == b"ANMF" and is_animated and frame is None:
            frame = chunk
            for inner in _chunks(payload, chunk.start + _FRAME_HEADER, min(chunk.stop, size)):
                if inner.kind == b"ALPH" and alpha is None:
                    alpha = inner
                elif inner.kind in (b"VP8 ", b"VP8L"):
                    picture = inner
                    break
        elif chunk.kind == b"ALPH" and not is_animated and alpha is None and picture is None:
            alpha = chunk
        elif chunk.kind in (b"VP8 ", b"VP8L") and not is_animated and picture is None:
            picture = chunk
        elif chunk.kind in (b"EXIF", b"XMP ") and chunk.stop <= size:
            metadata.setdefault(chunk.kind, payload[chunk.start : chunk.stop])
    if picture is None:
        whole = 8 + int.from_bytes(payload[4:8], "little")
        if whole > size:
            reject_truncated(f"WEBP: {size} of {whole} bytes")
        reject_corrupt("WEBP: no picture")
    if alpha is not None:
        _check_end(payload, alpha)
    width, height = _picture_size(payload, picture)
    check_size(width, height)
    _check_end(payload, picture)
    left, top, *stated = _position(payload, frame) if frame else (0, 0, *canvas)
    if (width, height) != tuple(stated):
        reject_corrupt(f"WEBP: a picture of {width} x {height} pixels in a frame of {stated[0]} x {stated[1]}")
    if left + width > canvas[0] or top + height > canvas[1]:
        reject_corrupt("WEBP: a frame reaches over the edge of the canvas")
    orientation = UPRIGHT
    if metadata:
        orientation = orientation_of(*([metadata[kind]] if kind in metadata else [] for kind in (b"EXIF", b"XMP ")))
    partial = Frame(*canvas, left, top) if (width, height) != canvas else None
    return Picture(_file(payload, picture, alpha), orientation, partial)


def _chunks(payload: bytes, position: int, stop: int) -> Iterator[_Chunk]:
    """Yield the chunks between two offsets, up to and including the first that ends past the end."""
    while position + 8 <= stop:
        kind, length = struct.unpack_from("<4sI", payload, position)
        yield _Chunk(kind, position, position + 8, position + 8 + length)
        position += 8 + length + length % 2


def _check_end(payload: bytes, chunk: _Chunk) -> None:
    if chunk.stop > len(payload):
        reject_truncated(f"WEBP: {len(payload)} bytes, ends before byte {chunk.stop}, the end of the pixel data")


def _number(payload: bytes, at: int) -> int:
    return int.from_bytes(payload[at : at + 3], "little")


def _picture_size(payload: bytes, chunk: _Chunk) -> tuple[int, int]:
    start = chunk.start
    if chunk.kind == b"VP8L" and payload[start : start + 1] == b"\x2f":
        packed = int.from_bytes(payload[start + 1 : start + 5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if chunk.kind == b"VP8 " and payload[start + 3 : start + 6] == b"\x9d\x01\x2a" and start + 10 <= len(payload):
        width, height = struct.unpack_from("<HH", payload, start + 6)
        return width & 0x3FFF, height & 0x3FFF
    if start + 10 > len(payload):
        _check_end(payload, chunk)
    return reject_corrupt(f"WEBP: no frame header in chunk {chunk.kind.decode('latin-1')}")


def _position(payload: bytes, frame: _Chunk) -> tuple[int, int, int, int]:
    """Return left, top, width and height of a frame of an animation."""
    left, top, width, height = (_number(payload, at) for at in range(frame.start, frame.start + 12, 3))
    return 2 * left, 2 * top, width + 1, height + 1


def _file(payload: bytes, picture: _Chunk, alpha: _Chunk | None = None) -> bytes:
    """Return a WebP file of one picture."""
    parts = []
    if alpha is not None and picture.kind == b"VP8 ":
        sides = (side - 1 for side in _picture_size(payload, picture))
        header = bytes([_ALPHA, 0, 0, 0]) + b"".join(side.to_bytes(3, "little") for side in sides)
        parts = [b"VP8X", struct.pack("<I", len(header)), header, *_padded(payload, alpha)]
    parts += _padded(payload, picture)
    return b"".join([b"RIFF", struct.pack("<I", 4 + sum(map(len, parts))), b"WEBP", *parts])


def _padded(payload: bytes, chunk: _Chunk) -> tuple[bytes | memoryview, bytes]:
    return memoryview(payload)[chunk.begin : chunk.stop], bytes((chunk.stop - chunk.start) % 2)
