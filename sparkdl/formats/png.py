"""PNG (ISO/IEC 15948): chunks of length, type, data and CRC-32, from IHDR to IEND."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from sparkdl.formats.structure import CheckSize, reject_corrupt, reject_early_end, reject_truncated, reject_unsupported
from sparkdl.formats.variants import check_png, reject_cgbi

# Each takes the decoder some time, and a payload of maximum length can have millions of empty ones.
_PNG_MAX_CHUNKS = 65_536
_PNG_END = b"IEND\xaeB`\x82"


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
    """Yield the chunks after the signature, up to and with IEND or the first that ends past the end of the file."""
    position, size = len(SIGNATURE), len(payload)
    while position + 8 <= size:
        length, kind = struct.unpack_from(">I4s", payload, position)
        chunk = Chunk(kind, position + 8, position + 8 + length, position + 12 + length)
        yield chunk
        if kind == b"IEND" or chunk.end > size:
            return
        position = chunk.end


def scan_png(payload: bytes, check_size: CheckSize) -> None:
    view, size = memoryview(payload), len(payload)
    has_data = has_palette = palette_needed = ended = False
    for number, chunk in enumerate(chunks(payload), 1):
        kind, is_first = chunk.kind, number == 1
        if number > _PNG_MAX_CHUNKS:
            reject_unsupported(f"PNG: more than {_PNG_MAX_CHUNKS} chunks")
        if not kind.isalpha():
            reject_corrupt(f"PNG: chunk type {kind!r}")
        if is_first and kind == b"CgBI":
            reject_cgbi()
        if is_first and (kind != b"IHDR" or chunk.stop - chunk.start != 13):
            reject_corrupt(f"PNG: expected IHDR of 13 bytes first, received {kind!r} of {chunk.stop - chunk.start}")
        if chunk.end > size:
            reject_early_end("PNG", payload, f"chunk {kind.decode('latin-1')}", has_end=payload.endswith(_PNG_END))
        if zlib.crc32(view[chunk.start - 4 : chunk.stop]) != int.from_bytes(view[chunk.stop : chunk.end], "big"):
            reject_corrupt(f"PNG: wrong checksum of chunk {kind.decode('latin-1')}")
        if is_first:
            check_size(*struct.unpack_from(">II", payload, 16))
            check_png(payload)
            palette_needed = payload[25] == 3
        has_data = has_data or kind == b"IDAT"
        has_palette = has_palette or kind == b"PLTE"
        ended = kind == b"IEND"
    if not ended:
        reject_truncated(f"PNG: {size} bytes, ends before IEND")
    if not has_data or (palette_needed and not has_palette):
        reject_corrupt(f"PNG: no {'palette' if has_data else 'pixel data'}")
