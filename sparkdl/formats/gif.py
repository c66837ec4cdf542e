"""GIF89a: blocks, each a chain of sub-blocks of at most 255 bytes, up to the trailer."""

from __future__ import annotations

import struct

from sparkdl.formats.structure import CheckSize, reject_corrupt, reject_early_end

_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B


def scan_gif(payload: bytes, check_size: CheckSize) -> None:
    try:
        _walk_gif(payload, check_size)
    except (IndexError, struct.error):
        # All reads go forward, so a read that fails went past the end.
        reject_early_end("GIF", payload, "a block", has_end=payload.endswith(b"\x00;"))


def _walk_gif(payload: bytes, check_size: CheckSize) -> None:
    width, height, flags = struct.unpack_from("<HHB", payload, 6)
    check_size(width, height)
    position, frames = 13 + _gif_palette_size(flags), 0
    while (block := payload[position]) != _GIF_TRAILER:
        if block == _GIF_IMAGE:
            left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", payload, position + 1)
            if frames == 0:
                check_size(frame_width, frame_height)
                # A frame that reaches over the edge makes the decoder enlarge the canvas.
                check_size(max(width, left + frame_width), max(height, top + frame_height))
            frames += 1
            position += 11 + _gif_palette_size(flags)
        elif block == _GIF_EXTENSION:
            position += 2
        elif block == 0:
            # Stray terminators between blocks are common and harmless.
            position += 1
            continue
        else:
            reject_corrupt(f"GIF: unknown block {block:02X} at byte {position}")
        while sub_block := payload[position]:
            position += sub_block + 1
        position += 1
    if not frames:
        reject_corrupt("GIF: no image")


def _gif_palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
