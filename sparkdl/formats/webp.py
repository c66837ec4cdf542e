"""WebP: the RIFF header and the first chunk (VP8, VP8L or VP8X), which has the size of the canvas."""

from __future__ import annotations

import struct

from sparkdl.formats.structure import CheckSize, reject_corrupt, reject_truncated


def scan_webp(payload: bytes, check_size: CheckSize) -> None:
    size = len(payload)
    kind = payload[12:16]
    whole = 8 + int.from_bytes(payload[4:8], "little")
    if size < 30:
        if whole > size:
            reject_truncated(f"WEBP: {size} of {whole} bytes")
        reject_corrupt(f"WEBP: {size} bytes")
    if kind == b"VP8X":
        check_size(*(1 + int.from_bytes(payload[at : at + 3], "little") for at in (24, 27)))
    elif kind == b"VP8L" and payload[20] == 0x2F:
        packed = int.from_bytes(payload[21:25], "little")
        check_size((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
    elif kind == b"VP8 " and payload[23:26] == b"\x9d\x01\x2a":
        check_size(*(side & 0x3FFF for side in struct.unpack_from("<HH", payload, 26)))
    else:
        reject_corrupt(f"WEBP: no frame header in the first chunk, {kind!r}")
    if whole > size:
        reject_truncated(f"WEBP: {size} of {whole} bytes")
