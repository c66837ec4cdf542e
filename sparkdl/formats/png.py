"""PNG (ISO/IEC 15948): chunks of length, type, data and CRC-32, from IHDR to IEND."""

from __future__ import annotations

import struct
import zlib

from sparkdl.formats.structure import CheckSize, reject_corrupt, reject_early_end, reject_truncated, reject_unsupported

# The decoder takes its time for each, and a longest payload of empty ones has millions.
_PNG_MAX_CHUNKS = 65_536
_PNG_END = b"IEND\xaeB`\x82"


def scan_png(payload: bytes, check_size: CheckSize) -> None:
    view, size = memoryview(payload), len(payload)
    position, chunks, ended, has_data, has_palette, palette_needed = 8, 0, False, False, False, False
    while not ended:
        chunks += 1
        if chunks > _PNG_MAX_CHUNKS:
            reject_unsupported(f"PNG: more than {_PNG_MAX_CHUNKS} chunks")
        if position + 8 > size:
            reject_truncated(f"PNG: {size} bytes, ends before IEND")
        length, kind = struct.unpack_from(">I4s", payload, position)
        if not kind.isalpha():
            reject_corrupt(f"PNG: chunk type {kind!r}")
        if position == 8 and (kind != b"IHDR" or length != 13):
            reject_corrupt(f"PNG: expected IHDR of 13 bytes first, received {kind!r} of {length}")
        end = position + 12 + length
        if end > size:
            reject_early_end("PNG", payload, f"chunk {kind.decode('latin-1')}", has_end=payload.endswith(_PNG_END))
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            reject_corrupt(f"PNG: wrong checksum of chunk {kind.decode('latin-1')}")
        if position == 8:
            check_size(*struct.unpack_from(">II", payload, 16))
            palette_needed = payload[25] == 3
        has_data = has_data or kind == b"IDAT"
        has_palette = has_palette or kind == b"PLTE"
        ended = kind == b"IEND"
        position = end
    if not has_data or (palette_needed and not has_palette):
        reject_corrupt(f"PNG: no {'palette' if has_data else 'pixel data'}")
