"""Chunks of a PNG: length, type, data and CRC-32."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Chunk(NamedTuple):
    """A chunk of a PNG.

    Attributes
    ----------
    kind
        Its type, four bytes.
    start, stop
        Where its data begins and ends.
    end
        Where the next chunk begins; past the end of the file if the chunk is truncated.
    """

    kind: bytes
    start: int
    stop: int
    end: int


def chunks(payload: bytes) -> Iterator[Chunk]:
    """Yield the chunks after the signature, up to and including IEND or the first chunk past the end of the file."""
    position, size = len(SIGNATURE), len(payload)
    while position + 8 <= size:
        length, kind = struct.unpack_from(">I4s", payload, position)
        chunk = Chunk(kind, position + 8, position + 8 + length, position + 12 + length)
        yield chunk
        if kind == b"IEND" or chunk.end > size:
            return
        position = chunk.end


def encoded(kind: bytes, data: bytes) -> bytes:
    """Return the bytes of a chunk with this type and data."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
