"""GIF89a: blocks, each a chain of sub-blocks of at most 255 bytes, up to the trailer.

Only the part up to the end of the first image is read. Comments and application blocks are left out.
"""

from __future__ import annotations

import struct

from sparkdl.formats.containers.picture import Frame, Picture
from sparkdl.formats.containers.structure import CheckSize, reject_corrupt, reject_early_end, reject_unsupported
from sparkdl.formats.mangled import passed_through_text

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _PLAIN_TEXT = 0xF9, 0x01
_HAS_PALETTE, _IS_TRANSPARENT = 0x80, 0x01
_END = b"\0;"


def scan_gif(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure; return the first image only, or the whole file if the image comes first."""
    if cause := passed_through_text(payload):  # the structure may still be valid, because GIF has no checksum
        reject_corrupt(f"GIF: {cause}")
    try:
        return _first_image(payload, check_size)
    except (IndexError, struct.error):
        # All reads go forward, so a failed read was past the end.
        reject_early_end("GIF", payload, "a block", has_end=payload.endswith(_END))


def _first_image(payload: bytes, check_size: CheckSize) -> Picture:
    width, height, flags = struct.unpack_from("<HHB", payload, 6)
    if width and height:  # some programs write 0
        check_size(width, height)
    screen_end = position = 13 + _palette_size(flags)
    control, is_plain = b"", True
    while (block := payload[position]) != _IMAGE:
        if block == _EXTENSION:
            kind, begin = payload[position + 1], position
            position = _end_of_data(payload, position + 2)
            if kind == _CONTROL and payload[begin + 2] >= 4:
                is_plain = is_plain and begin == screen_end and position == begin + 8
                control = payload[begin + 3 : begin + 7]
            else:
                is_plain = False
                control = b"" if kind == _PLAIN_TEXT else control  # it belongs to this text
        elif block == 0:
            # Stray terminators between blocks are common and harmless.
            is_plain, position = False, position + 1
        elif block == _TRAILER:
            reject_corrupt("GIF: no image")
        else:
            reject_corrupt(f"GIF: unknown block {block:02X} at byte {position}")
    left, top, *size, image_flags = struct.unpack_from("<HHHHB", payload, position + 1)
    check_size(*size)
    # A frame that extends beyond the edge enlarges the canvas.
    canvas = max(width, left + size[0]), max(height, top + size[1])
    check_size(*canvas)
    if not (flags | image_flags) & _HAS_PALETTE:
        reject_unsupported("GIF: no colour table, so its colours are not known; save it with one")
    start = position + 11 + _palette_size(image_flags)
    data, is_cut = _pixel_data(payload, start)
    is_partial = canvas != tuple(size)
    colours = 2 << ((image_flags if image_flags & _HAS_PALETTE else flags) & 7)
    if is_plain and not is_partial and not is_cut:
        return Picture(payload, colours=colours)
    screen = struct.pack("<HH", *size) + payload[10:screen_end]
    control = b"!\xf9\4" + bytes([control[0] & _IS_TRANSPARENT, *control[1:]]) + b"\0" if control else b""
    image = struct.pack("<BHHHHB", _IMAGE, 0, 0, *size, image_flags) + payload[position + 10 : start] + data
    alone = b"GIF89a" + screen + control + image + _END
    frame = Frame(*canvas, left, top) if is_partial else None
    return Picture(alone, frame=frame, is_cut=is_cut, colours=colours)


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & _HAS_PALETTE else 0


def _end_of_data(payload: bytes, position: int) -> int:
    """Return where a chain of sub-blocks ends, after its terminator."""
    while length := payload[position]:
        position += length + 1
    return position + 1


def _pixel_data(payload: bytes, start: int) -> tuple[bytes, bool]:
    """Return the sub-blocks of pixel data without the terminator, and whether the file ends without one."""
    position, size = start, len(payload)
    while position < size and (length := payload[position]):
        if position + length >= size:
            left = size - position - 1
            return payload[start:position] + (bytes([left]) + payload[position + 1 :] if left else b""), True
        position += length + 1
    return payload[start:position], position >= size
