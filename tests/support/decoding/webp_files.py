"""WebP files put together by hand from the pictures in others."""

from __future__ import annotations

import struct


def parts_of(payload: bytes) -> list[tuple[bytes, bytes]]:
    """Type and content of each chunk."""
    parts, position = [], 12
    while position + 8 <= len(payload):
        kind, length = struct.unpack_from("<4sI", payload, position)
        parts.append((kind, payload[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    return parts


def part(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def riff(*parts: bytes, size: int | None = None) -> bytes:
    """A WebP; `size` is what its header says instead of the truth."""
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def header(width: int, height: int, flags: int) -> bytes:
    """VP8X: 0x02 animated, 0x04 XMP, 0x08 EXIF, 0x10 alpha, 0x20 profile."""
    return part(b"VP8X", bytes([flags, 0, 0, 0]) + _number(width - 1) + _number(height - 1))


def frame(picture: bytes, left: int, top: int, width: int, height: int, flags: int = 0) -> bytes:
    """ANMF with the parts of another WebP; flags 1: dispose to the background, 2: do not blend."""
    inner = b"".join(part(kind, data) for kind, data in parts_of(picture) if kind in (b"ALPH", b"VP8 ", b"VP8L"))
    place = b"".join(map(_number, (left // 2, top // 2, width - 1, height - 1, 100)))
    return part(b"ANMF", place + bytes([flags]) + inner)


def animation(*frames: bytes, width: int, height: int, flags: int = 0) -> bytes:
    """A file of frames on a canvas."""
    return riff(header(width, height, 2 | flags), part(b"ANIM", b"\x40\x80\xff\xff\0\0"), *frames)


def _number(value: int) -> bytes:
    return value.to_bytes(3, "little")
