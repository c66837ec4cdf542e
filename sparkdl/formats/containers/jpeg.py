"""JPEG (ITU-T T.81): segments of marker and length, entropy-coded data after each SOS, EOI.

Application segments and comments are left out, except the two that define the colours: JFIF and Adobe.
"""

from __future__ import annotations

import re
import struct

from sparkdl.formats.containers.jpeg_scans import are_complete
from sparkdl.formats.containers.orientation import EXIF_PREFIX, orientation_of
from sparkdl.formats.containers.picture import UPRIGHT, Picture
from sparkdl.formats.containers.structure import (
    CheckSize,
    reject_corrupt,
    reject_early_end,
    reject_truncated,
    reject_unsupported,
)
from sparkdl.formats.containers.variants import JPEG_LS_FRAME, check_jpeg

END = b"\xff\xd9"

# In entropy-coded data, FF is followed by 00 or is part of a restart marker; the next other marker ends the data.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
_START, _SCAN_HEADER = b"\xff\xd8\xff", b"\xff\xda\0"
_END_MARKER, _SCAN, _COMMENT = 0xD9, 0xDA, 0xFE
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
# A scan of a few bytes makes the decoder process the whole picture again; encoders write about 10.
_MAX_SCANS = 100
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_METADATA = frozenset(range(0xE0, 0xF0)) | {_COMMENT}
_TABLES = frozenset((0xC4, 0xDB))
_SEGMENTS = _FRAMES | _METADATA | {0xC4, 0xCC} | set(range(0xDA, 0xE0))
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"


def scan_jpeg(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure; return the picture without metadata, or the file itself if it has none."""
    size, position, frame, is_cut = len(payload), 2, b"", False
    scans: list[bytes] = []
    metadata: list[bytes] = []
    kept, copied = [], 0  # parts of the file, and the offset of the first byte that was not copied yet
    may_be_thumbnail = False  # metadata began a picture and did not end it
    view = memoryview(payload)
    while True:
        match = _MARKER.search(payload, position)
        if match is None:
            if not are_complete(frame, scans):
                reject_truncated(f"JPEG: {size} bytes, no end-of-image marker")
            is_cut = True
            break
        start = match.end()
        marker, begin = payload[start - 1], start - 2
        if marker == _END_MARKER:
            if may_be_thumbnail and payload.find(_SCAN_HEADER, start) > 0 and not payload.startswith(_START, start):
                reject_corrupt("JPEG: metadata with a wrong length, which ends inside a picture that it holds")
            break
        if marker == JPEG_LS_FRAME and not frame:
            check_jpeg(marker, 0, 0)
        if marker not in _SEGMENTS:
            # Decoders stop the scan here and fill the rest of the picture with gray.
            reject_corrupt(f"JPEG: stray marker {marker:02X} at byte {begin}")
        if start + 2 > size:
            reject_truncated(f"JPEG: {size} bytes, ends inside segment {marker:02X}")
        if begin > position and not scans:
            if may_be_thumbnail or payload.find(_START, position - 1, begin + 1) >= 0:
                reject_corrupt("JPEG: metadata with a wrong length, which ends inside a picture that it holds")
            kept.append(view[copied:position])
            copied = begin
        length = payload[start] << 8 | payload[start + 1]
        position = start + length
        if marker in _TABLES and 2 <= length <= size - start:
            continue
        if marker in _METADATA:
            position = start + max(length, 2)
        elif length < (8 if marker in _FRAMES else 2):
            reject_corrupt(f"JPEG: segment {marker:02X} of {length} bytes")
        if marker in _FRAMES and start + 7 <= size:
            height, width = struct.unpack_from(">HH", payload, start + 3)
            check_size(width, height)
            if start + 7 < size:
                check_jpeg(marker, payload[start + 2], payload[start + 7])
            frame = payload[begin:position]
        if position > size:
            reject_early_end("JPEG", payload, f"segment {marker:02X}", has_end=payload.endswith(END))
        if marker == _SCAN:
            scans.append(payload[start + 2 : position])
            if len(scans) > _MAX_SCANS:
                reject_unsupported(f"JPEG: more than {_MAX_SCANS} scans")
        elif marker in _METADATA and not scans:
            data = payload[start + 2 : position]
            if not _is_needed(marker, data):
                begun, ended = payload.rfind(_START, start, position + 1), payload.rfind(END, start, position)
                if begun != ended:  # it has at least one of them
                    may_be_thumbnail = begun > ended
                kept.append(view[copied:begin])
                copied = position
                if marker == _EXIF:
                    metadata.append(data)
    if not frame or not scans:
        reject_corrupt(f"JPEG: no {'scan' if frame else 'frame header'} before the end-of-image marker")
    orientation = _orientation(metadata) if metadata else UPRIGHT
    if not kept and not is_cut:
        return Picture(payload, orientation)
    alone = b"".join([*kept, view[copied:]])
    return Picture(_without_filling(alone) + END if is_cut else alone, orientation, is_cut=is_cut)


def _is_needed(marker: int, data: bytes) -> bool:
    """Whether a decoder reads the colour space from this segment; the lengths are those of libjpeg."""
    return (marker == _JFIF and len(data) >= 14 and data.startswith(b"JFIF\0")) or (
        marker == _ADOBE and len(data) >= 12 and data.startswith(b"Adobe")
    )


def _without_filling(payload: bytes) -> bytes:
    """Remove trailing zeros that pad a file, and the first half of an end marker."""
    data = payload.rstrip(b"\0")
    if not data.endswith(b"\xff"):
        return data
    return data + b"\0" if len(data) < len(payload) else data[:-1]


def _orientation(metadata: list[bytes]) -> int:
    return orientation_of(
        (data for data in metadata if data.startswith(EXIF_PREFIX)),
        (data[len(_XMP_PREFIX) :] for data in metadata if data.startswith(_XMP_PREFIX)),
    )
