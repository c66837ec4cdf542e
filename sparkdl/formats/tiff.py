"""TIFF 6.0 and BigTIFF: the first directory of tags, and the ends of its strips or tiles.

Only the first image is scanned, because only the first is decoded.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from sparkdl.formats.structure import CheckSize, reject_corrupt, reject_truncated

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 322, 323
_TIFF_ROWS_PER_STRIP, _TIFF_SAMPLES, _TIFF_PLANAR = 278, 277, 284
_TIFF_EXTENTS = ((273, 279), (324, 325))
"""Offsets and byte counts, of strips and of tiles."""
_TIFF_TYPES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes a value, by type code; 0 is no type."""
_TIFF_INTEGERS = frozenset({3, 4, 16})
_TIFF_FIRST_PRIVATE_TAG = 32768
_TIFF_TAGS = {256, 257, 277, 278, 284, 322, 323, *sum(_TIFF_EXTENTS, ())}
_TIFF_MAX_TAGS = 65535


def scan_tiff(payload: bytes, check_size: CheckSize) -> None:
    tags, following = _tiff_directory(payload)

    def first(tag: int, default: int = 0) -> int:
        return int(tags[tag][0]) if tag in tags and len(tags[tag]) else default

    width, height = first(_TIFF_WIDTH), first(_TIFF_HEIGHT)
    check_size(width, height)
    # The decoder makes room for one tile, whatever the size of the image.
    check_size(first(_TIFF_TILE_WIDTH, 1), first(_TIFF_TILE_HEIGHT, 1))
    pieces = {
        273: -(-height // max(first(_TIFF_ROWS_PER_STRIP, height), 1)),
        324: -(-width // first(_TIFF_TILE_WIDTH, width)) * -(-height // first(_TIFF_TILE_HEIGHT, height)),
    }
    planes = first(_TIFF_SAMPLES, 1) if first(_TIFF_PLANAR, 1) == 2 else 1
    size = len(payload)
    if following > size:
        reject_truncated(f"TIFF: {size} bytes, the next image is said to start at {following}")
    for offsets_tag, counts_tag in _TIFF_EXTENTS:
        if offsets_tag in tags and counts_tag in tags:
            offsets, counts = tags[offsets_tag], tags[counts_tag]
            expected = pieces[offsets_tag] * planes
            if len(offsets) != len(counts) or len(offsets) < expected:
                reject_corrupt(
                    f"TIFF: expected {expected} strips or tiles, received: {len(offsets)}, of {len(counts)} sizes"
                )
            # Compared without adding, so that no sum wraps around.
            if bool(np.any(offsets > size)) or bool(np.any(counts > size - offsets)):
                reject_truncated(f"TIFF: {size} bytes, a strip or tile lies past the end")


def _tiff_directory(payload: bytes) -> tuple[dict[int, npt.NDArray[np.uint64]], int]:
    """The tags in `_TIFF_TAGS` as arrays of uint64, and the offset of the next directory."""
    order = "<" if payload[:2] == b"II" else ">"
    big = 43 in payload[2:4]
    pointer, counter, entry_size, start = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)

    def number(kind: str, position: int) -> int:
        if position + struct.calcsize(kind) > len(payload):
            reject_truncated(f"TIFF: {len(payload)} bytes, ends before the directory of tags")
        return int(struct.unpack_from(order + kind, payload, position)[0])

    position = number(pointer, start)
    entries = number(counter, position)
    if entries > _TIFF_MAX_TAGS:
        reject_corrupt(f"TIFF: {entries} tags")
    position += struct.calcsize(counter)
    following = number(pointer, position + entries * entry_size)
    tags: dict[int, npt.NDArray[np.uint64]] = {}
    for entry in range(position, position + entries * entry_size, entry_size):
        tag, kind, count = struct.unpack_from(f"{order}HH{pointer}", payload, entry)
        width = _TIFF_TYPES[kind] if kind < len(_TIFF_TYPES) else 0
        # What private tags point at is not needed for the picture, and often carelessly written.
        if not width or tag >= _TIFF_FIRST_PRIVATE_TAG:
            continue
        place = entry + 4 + struct.calcsize(pointer)
        if count * width > struct.calcsize(pointer):
            place = number(pointer, place)
        if place + count * width > len(payload):
            reject_truncated(f"TIFF: {len(payload)} bytes, the values of tag {tag} lie past the end")
        if tag in _TIFF_TAGS and kind in _TIFF_INTEGERS:
            # Of a tag given twice the first counts, for the decoder too.
            tags.setdefault(tag, np.frombuffer(payload, f"{order}u{width}", count, place).astype(np.uint64))
    return tags, following
