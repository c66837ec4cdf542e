"""JPEG (ITU-T T.81): segments of marker and length, entropy-coded data after each SOS, EOI."""

from __future__ import annotations

import re
import struct

from sparkdl.formats.structure import CheckSize, reject_corrupt, reject_early_end, reject_truncated, reject_unsupported
from sparkdl.formats.variants import JPEG_LS_FRAME, check_jpeg

# In entropy-coded data FF is followed by 00 or by a restart marker, so the next other marker ends it.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
# A scan of some bytes makes the decoder go over the whole picture again; encoders write 10 or so.
_JPEG_MAX_SCANS = 100
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SEGMENTS = _JPEG_FRAMES | {0xC4, 0xCC, 0xFE} | set(range(0xDA, 0xF0))


def scan_jpeg(payload: bytes, check_size: CheckSize) -> None:
    size, position, has_frame, scans = len(payload), 2, False, 0
    while True:
        match = _JPEG_MARKER.search(payload, position)
        if match is None:
            reject_truncated(f"JPEG: {size} bytes, no end-of-image marker")
        marker, position = match[1][0], match.end()
        if marker == _JPEG_END:
            break
        if marker == JPEG_LS_FRAME and not has_frame:
            check_jpeg(marker, 0, 0)
        if marker not in _JPEG_SEGMENTS:
            # Decoders stop the scan here and fill the rest of the picture with gray.
            reject_corrupt(f"JPEG: stray marker {marker:02X} at byte {position - 2}")
        if position + 2 > size:
            reject_truncated(f"JPEG: {size} bytes, ends inside segment {marker:02X}")
        length = int.from_bytes(payload[position : position + 2], "big")
        if length < (8 if marker in _JPEG_FRAMES else 2):
            reject_corrupt(f"JPEG: segment {marker:02X} of {length} bytes")
        if marker in _JPEG_FRAMES and position + 7 <= size:
            height, width = struct.unpack_from(">HH", payload, position + 3)
            check_size(width, height)
            if position + 7 < size:
                check_jpeg(marker, payload[position + 2], payload[position + 7])
            has_frame = True
        position += length
        if position > size:
            reject_early_end("JPEG", payload, f"segment {marker:02X}", has_end=payload.endswith(b"\xff\xd9"))
        scans += marker == _JPEG_SCAN
        if scans > _JPEG_MAX_SCANS:
            reject_unsupported(f"JPEG: more than {_JPEG_MAX_SCANS} scans")
    if not has_frame or not scans:
        reject_corrupt(f"JPEG: no {'scan' if has_frame else 'frame header'} before the end-of-image marker")
