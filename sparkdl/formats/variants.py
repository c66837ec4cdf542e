"""Variants of PNG, JPEG and BMP that are valid but not read, and such that do not exist, by their headers."""

from __future__ import annotations

import struct

from sparkdl.formats.structure import reject_corrupt, reject_unsupported

_PNG_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits a sample, by colour type."""

_JPEG_READ = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
_JPEG_PROCESSES = {
    0xC3: "lossless",
    0xC5: "hierarchical",
    0xC6: "hierarchical progressive",
    0xC7: "hierarchical lossless",
    0xC9: "arithmetic-coded",
    0xCA: "arithmetic-coded progressive",
    0xCB: "arithmetic-coded lossless",
    0xCD: "arithmetic-coded hierarchical",
    0xCE: "arithmetic-coded hierarchical progressive",
    0xCF: "arithmetic-coded hierarchical lossless",
}
JPEG_LS_FRAME = 0xF7

_BMP_BITS = {0: {1, 4, 8, 16, 24, 32}, 1: {8}, 2: {4}, 3: {16, 24, 32}}
"""Bits a pixel that are read, by number of compression."""
_BMP_COMPRESSIONS = {
    1: "run lengths of 8 bits",
    2: "run lengths of 4 bits",
    3: "bit masks",
    4: "JPEG",
    5: "PNG",
    6: "bit masks with alpha",
    11: "CMYK",
    12: "CMYK run lengths of 8 bits",
    13: "CMYK run lengths of 4 bits",
}
_BMP_MASKS: dict[int, set[tuple[int, ...]]] = {
    16: {(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)},
    24: {(0xFF0000, 0xFF00, 0xFF)},
    32: {
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0),
        (0xFF000000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (0, 0, 0, 0),
    },
}
"""Masks of red, green, blue and, of 32 bits, alpha."""
_CONVERT = "convert it to PNG"


def check_png(payload: bytes) -> None:
    """Check the IHDR of a PNG, which begins at byte 16."""
    depth, colour, compression, filtering, interlace = payload[24:29]
    if colour not in _PNG_DEPTHS:
        reject_corrupt(f"PNG: colour type {colour} does not exist")
    if depth not in _PNG_DEPTHS[colour]:
        reject_corrupt(f"PNG: {depth} bits a sample do not exist for colour type {colour}")
    if compression or filtering or interlace > 1:
        reject_corrupt(f"PNG: compression {compression}, filter {filtering}, interlace {interlace}: not all exist")


def reject_cgbi() -> None:
    """Reject Apple's own PNG, whose pixel data is no zlib stream and whose colours are swapped."""
    reject_unsupported(
        "PNG: Apple's CgBI variant, made by Xcode, which only Apple's programs read: publish the original, or "
        "restore it with pngcrush -revert-iphone-optimizations"
    )


def check_jpeg(marker: int, precision: int, components: int) -> None:
    """Check the frame header of a JPEG."""
    if marker == JPEG_LS_FRAME:
        reject_unsupported(f"JPEG-LS: {_CONVERT}")
    process = _JPEG_PROCESSES.get(marker, "lossy")
    if marker not in _JPEG_READ:
        reject_unsupported(f"JPEG: {process}, which is not read: {_CONVERT}")
    if precision != 8:
        reject_unsupported(f"JPEG: {process}, {precision} bits a sample, of which 8 are read: {_CONVERT}")
    if components not in (1, 3, 4):
        reject_unsupported(f"JPEG: {components} components, of which 1, 3 and 4 are read: {_CONVERT}")


def check_bmp(payload: bytes, header: int, bits: int, compression: int) -> None:
    """Check the header of a BMP, `header` bytes at byte 14."""
    if compression not in _BMP_BITS:
        kind = _BMP_COMPRESSIONS.get(compression, str(compression))
        reject_unsupported(f"BMP: compression {kind}, which is not read: {_CONVERT}")
    if bits not in _BMP_BITS[compression]:
        kind = _BMP_COMPRESSIONS.get(compression, "no compression")
        reject_unsupported(f"BMP: {bits} bits a pixel with {kind}, which are not read: {_CONVERT}")
    if compression == 3 and len(payload) >= 70:  # what is shorter is truncated
        count = 4 if bits == 32 else 3
        masks = struct.unpack_from(f"<{count}I", payload, 54)
        if header < 56 and bits == 32:
            masks = (*masks[:3], 0)
        if masks not in _BMP_MASKS[bits]:
            shown = " ".join(f"{mask:X}" for mask in masks)
            reject_unsupported(f"BMP: masks {shown} of {bits} bits a pixel, which are not read: {_CONVERT}")
