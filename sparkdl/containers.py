"""Read the structure of the six image formats, without decoding: which format, how many pixels, is the file whole.

Decoders answer a short file in many ways: an error, a warning, a picture whose lower half is gray. A file's own
structure (chunk lengths, strip tables, end markers) is the same for all decoders, so it is judged here, first, and
on bytes alone. A payload is `truncated` when this structure points past its end and `corrupt` when it contradicts
itself. A length field that was damaged so that it points past the end cannot be told from a missing end, except
where the end is there to be seen (PNG, JPEG and GIF end with a mark of their own).

Bytes after the end of the image are ignored, as by all decoders.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from sparkdl.rejection import Reason, Refused

Admit = Callable[[int, int], None]
"""Called with (width, height) as soon as they are known; raises `Refused` when they are not admitted."""


@dataclass(frozen=True, slots=True)
class Container:
    """One image format: how its files begin, and how to survey one."""

    name: str
    signature: re.Pattern[bytes]
    prefixes: tuple[bytes, ...]
    """What the first bytes are, as far as they are fixed: tells a signature cut short from another format."""
    signature_bytes: int
    survey: Callable[[bytes, Admit], None]
    """Reads the structure, calls `admit` before it looks past the header, and raises `Refused`."""


def identify(payload: bytes) -> Container:
    """The format whose signature the payload bears; raises `Refused` when there is none, or only the start of one."""
    for container in CONTAINERS:
        if container.signature.match(payload):
            return container
        if 2 <= len(payload) < container.signature_bytes and any(
            payload.startswith(prefix[: len(payload)]) for prefix in container.prefixes
        ):
            _truncated(f"{container.name}: {len(payload)} bytes, ends inside the signature")
    names = ", ".join(container.name for container in CONTAINERS)
    raise Refused(Reason.UNSUPPORTED_FORMAT, f"expected one of {names}; received bytes that begin {payload[:16]!r}")


def _signature(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


def _truncated(detail: str) -> NoReturn:
    raise Refused(Reason.TRUNCATED, detail)


def _unsupported(detail: str) -> NoReturn:
    raise Refused(Reason.UNSUPPORTED_FORMAT, detail)


def _corrupt(detail: str) -> NoReturn:
    raise Refused(Reason.CORRUPT, detail)


def _ends_early(name: str, payload: bytes, what: str, *, has_end: bool) -> NoReturn:
    """The structure points past the end: truncated, unless the format's end mark shows that nothing is missing."""
    if has_end:
        _corrupt(f"{name}: {what} is longer than the file, which has its end mark")
    _truncated(f"{name}: {len(payload)} bytes, ends inside {what}")


# PNG (ISO/IEC 15948): signature, then chunks of length, type, data, CRC-32; IHDR first, IEND last.

# The decoder takes its time for each, and a longest payload of empty ones has millions.
_PNG_MOST_CHUNKS = 65_536
_PNG_END = b"IEND\xaeB`\x82"


def _survey_png(payload: bytes, admit: Admit) -> None:
    view, size = memoryview(payload), len(payload)
    position, chunks, ended, has_data, has_palette, palette_needed = 8, 0, False, False, False, False
    while not ended:
        chunks += 1
        if chunks > _PNG_MOST_CHUNKS:
            _unsupported(f"PNG: more than {_PNG_MOST_CHUNKS} chunks")
        if position + 8 > size:
            _truncated(f"PNG: {size} bytes, ends before IEND")
        length, kind = struct.unpack_from(">I4s", payload, position)
        if not kind.isalpha():
            _corrupt(f"PNG: chunk type {kind!r}")
        if position == 8 and (kind != b"IHDR" or length != 13):
            _corrupt(f"PNG: expected IHDR of 13 bytes first, received {kind!r} of {length}")
        end = position + 12 + length
        if end > size:
            _ends_early("PNG", payload, f"chunk {kind.decode('latin-1')}", has_end=payload.endswith(_PNG_END))
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            _corrupt(f"PNG: wrong checksum of chunk {kind.decode('latin-1')}")
        if position == 8:
            admit(*struct.unpack_from(">II", payload, 16))
            palette_needed = payload[25] == 3
        has_data = has_data or kind == b"IDAT"
        has_palette = has_palette or kind == b"PLTE"
        ended = kind == b"IEND"
        position = end
    if not has_data or (palette_needed and not has_palette):
        _corrupt(f"PNG: no {'palette' if has_data else 'pixel data'}")


# JPEG (ITU-T T.81): SOI, segments of marker and length, entropy-coded data after each SOS, EOI.

# In entropy-coded data FF is followed by 00 or by a restart marker, so the next other marker ends it.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])", re.DOTALL)
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
# A scan of some bytes makes the decoder go over the whole picture again; encoders write 10 or so.
_JPEG_MOST_SCANS = 100
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SEGMENTS = _JPEG_FRAMES | {0xC4, 0xCC, 0xFE} | set(range(0xDA, 0xF0))


def _survey_jpeg(payload: bytes, admit: Admit) -> None:
    size, position, has_frame, scans = len(payload), 2, False, 0
    while True:
        match = _JPEG_MARKER.search(payload, position)
        if match is None:
            _truncated(f"JPEG: {size} bytes, no end-of-image marker")
        marker, position = match[1][0], match.end()
        if marker == _JPEG_END:
            break
        if marker not in _JPEG_SEGMENTS:
            # Decoders stop the scan here and fill the rest of the picture with gray.
            _corrupt(f"JPEG: stray marker {marker:02X} at byte {position - 2}")
        if position + 2 > size:
            _truncated(f"JPEG: {size} bytes, ends inside segment {marker:02X}")
        length = int.from_bytes(payload[position : position + 2], "big")
        if length < (8 if marker in _JPEG_FRAMES else 2):
            _corrupt(f"JPEG: segment {marker:02X} of {length} bytes")
        if marker in _JPEG_FRAMES and position + 7 <= size:
            height, width = struct.unpack_from(">HH", payload, position + 3)
            admit(width, height)
            has_frame = True
        position += length
        if position > size:
            _ends_early("JPEG", payload, f"segment {marker:02X}", has_end=payload.endswith(b"\xff\xd9"))
        scans += marker == _JPEG_SCAN
        if scans > _JPEG_MOST_SCANS:
            _unsupported(f"JPEG: more than {_JPEG_MOST_SCANS} scans")
    if not has_frame or not scans:
        _corrupt(f"JPEG: no {'scan' if has_frame else 'frame header'} before the end-of-image marker")


# BMP: a file header of 14 bytes, an information header, a palette, rows padded to 4 bytes. It has no checksum.


def _survey_bmp(payload: bytes, admit: Admit) -> None:
    size = len(payload)
    file_size, offset, header = struct.unpack_from("<I4xII", payload, 2)
    if size < 14 + header:
        _truncated(f"BMP: {size} bytes, ends inside the header")
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", payload, 18)
        compression, data_size = 0, 0
    else:
        width, height, _, bits, compression, data_size = struct.unpack_from("<iiHHII", payload, 18)
    # A negative height means that the first row is the top one.
    admit(width, abs(height))
    start = max(offset, 14 + header)
    if compression in (1, 2):
        whole = start + data_size if data_size else file_size
    else:
        whole = start + (width * bits + 31) // 32 * 4 * abs(height)
    if whole > size:
        _truncated(f"BMP: {size} of {whole} bytes")


# GIF89a: screen descriptor, then blocks, each a chain of sub-blocks of at most 255 bytes, then a trailer.

_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B


def _survey_gif(payload: bytes, admit: Admit) -> None:
    try:
        _walk_gif(payload, admit)
    except (IndexError, struct.error):
        # All reads go forward, so a read that fails went past the end.
        _ends_early("GIF", payload, "a block", has_end=payload.endswith(b"\x00;"))


def _walk_gif(payload: bytes, admit: Admit) -> None:
    width, height, flags = struct.unpack_from("<HHB", payload, 6)
    admit(width, height)
    position, frames = 13 + _gif_palette_size(flags), 0
    while (block := payload[position]) != _GIF_TRAILER:
        if block == _GIF_IMAGE:
            left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", payload, position + 1)
            if frames == 0:
                admit(frame_width, frame_height)
                # A frame that reaches over the edge makes the decoder enlarge the canvas.
                admit(max(width, left + frame_width), max(height, top + frame_height))
            frames += 1
            position += 11 + _gif_palette_size(flags)
        elif block == _GIF_EXTENSION:
            position += 2
        elif block == 0:
            # Stray terminators between blocks are common and harmless.
            position += 1
            continue
        else:
            _corrupt(f"GIF: unknown block {block:02X} at byte {position}")
        while sub_block := payload[position]:
            position += sub_block + 1
        position += 1
    if not frames:
        _corrupt("GIF: no image")


def _gif_palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


# TIFF 6.0 and BigTIFF: a header that points at a directory of tags, which point at strips or tiles anywhere in the
# file. Only the first image is surveyed, because only the first is decoded.

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 322, 323
_TIFF_ROWS_PER_STRIP, _TIFF_SAMPLES, _TIFF_PLANAR = 278, 277, 284
_TIFF_EXTENTS = ((273, 279), (324, 325))
"""Offsets and byte counts, of strips and of tiles."""
_TIFF_TYPES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes a value, by type code; 0 is no type."""
_TIFF_INTEGERS = frozenset({3, 4, 16})
_TIFF_FIRST_PRIVATE_TAG = 32768
_TIFF_TAGS = {256, 257, 277, 278, 284, 322, 323, *sum(_TIFF_EXTENTS, ())}
_TIFF_MOST_TAGS = 65535


def _survey_tiff(payload: bytes, admit: Admit) -> None:
    tags, following = _tiff_directory(payload)

    def first(tag: int, default: int = 0) -> int:
        return int(tags[tag][0]) if tag in tags and len(tags[tag]) else default

    width, height = first(_TIFF_WIDTH), first(_TIFF_HEIGHT)
    admit(width, height)
    # The decoder makes room for one tile, whatever the size of the image.
    admit(first(_TIFF_TILE_WIDTH, 1), first(_TIFF_TILE_HEIGHT, 1))
    pieces = {
        273: -(-height // max(first(_TIFF_ROWS_PER_STRIP, height), 1)),
        324: -(-width // first(_TIFF_TILE_WIDTH, width)) * -(-height // first(_TIFF_TILE_HEIGHT, height)),
    }
    planes = first(_TIFF_SAMPLES, 1) if first(_TIFF_PLANAR, 1) == 2 else 1
    size = len(payload)
    if following > size:
        _truncated(f"TIFF: {size} bytes, the next image is said to start at {following}")
    for offsets_tag, counts_tag in _TIFF_EXTENTS:
        if offsets_tag in tags and counts_tag in tags:
            offsets, counts = tags[offsets_tag], tags[counts_tag]
            expected = pieces[offsets_tag] * planes
            if len(offsets) != len(counts) or len(offsets) < expected:
                _corrupt(f"TIFF: expected {expected} strips or tiles, received: {len(offsets)}, of {len(counts)} sizes")
            # Compared without adding, so that no sum wraps around.
            if bool(np.any(offsets > size)) or bool(np.any(counts > size - offsets)):
                _truncated(f"TIFF: {size} bytes, a strip or tile lies past the end")


def _tiff_directory(payload: bytes) -> tuple[dict[int, npt.NDArray[np.uint64]], int]:
    """The tags in `_TIFF_TAGS` as arrays of uint64, and the offset of the next directory."""
    order = "<" if payload[:2] == b"II" else ">"
    big = 43 in payload[2:4]
    pointer, counter, entry_size, start = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)

    def number(kind: str, position: int) -> int:
        if position + struct.calcsize(kind) > len(payload):
            _truncated(f"TIFF: {len(payload)} bytes, ends before the directory of tags")
        return int(struct.unpack_from(order + kind, payload, position)[0])

    position = number(pointer, start)
    entries = number(counter, position)
    if entries > _TIFF_MOST_TAGS:
        _corrupt(f"TIFF: {entries} tags")
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
            _truncated(f"TIFF: {len(payload)} bytes, the values of tag {tag} lie past the end")
        if tag in _TIFF_TAGS and kind in _TIFF_INTEGERS:
            # Of a tag given twice the first counts, for the decoder too.
            tags.setdefault(tag, np.frombuffer(payload, f"{order}u{width}", count, place).astype(np.uint64))
    return tags, following


# WebP: a RIFF file whose first chunk (VP8, VP8L or VP8X) gives the size of the canvas.


def _survey_webp(payload: bytes, admit: Admit) -> None:
    size = len(payload)
    kind = payload[12:16]
    whole = 8 + int.from_bytes(payload[4:8], "little")
    if size < 30:
        if whole > size:
            _truncated(f"WEBP: {size} of {whole} bytes")
        _corrupt(f"WEBP: {size} bytes")
    if kind == b"VP8X":
        admit(*(1 + int.from_bytes(payload[at : at + 3], "little") for at in (24, 27)))
    elif kind == b"VP8L" and payload[20] == 0x2F:
        packed = int.from_bytes(payload[21:25], "little")
        admit((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)
    elif kind == b"VP8 " and payload[23:26] == b"\x9d\x01\x2a":
        admit(*(side & 0x3FFF for side in struct.unpack_from("<HH", payload, 26)))
    else:
        _corrupt(f"WEBP: no frame header in the first chunk, {kind!r}")
    if whole > size:
        _truncated(f"WEBP: {size} of {whole} bytes")


CONTAINERS = (
    Container("PNG", _signature(rb"\x89PNG\r\n\x1a\n"), (b"\x89PNG\r\n\x1a\n",), 8, _survey_png),
    Container("JPEG", _signature(rb"\xff\xd8\xff"), (b"\xff\xd8\xff",), 3, _survey_jpeg),
    # "BM" alone also begins many a text; the size of the information header, one of seven, settles it.
    Container("BMP", _signature(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"), (b"BM",), 18, _survey_bmp),
    Container("GIF", _signature(rb"GIF8[79]a"), (b"GIF87a", b"GIF89a"), 6, _survey_gif),
    Container("TIFF", _signature(rb"II[*+]\x00|MM\x00[*+]"), (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"), 4, _survey_tiff),
    Container("WEBP", _signature(rb"RIFF.{4}WEBP"), (b"RIFF",), 12, _survey_webp),
)
