"""Variants of PNG and JPEG that are valid but unsupported, or that do not exist, by their headers."""

from __future__ import annotations

from sparkdl.formats.containers.structure import reject_corrupt, reject_unsupported

_PNG_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
"""Bits per sample, by colour type."""

_JPEG_READ = frozenset({0xC0, 0xC1, 0xC2, 0xC3})
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

_CONVERT = "convert it to PNG"


def check_png(payload: bytes) -> None:
    """Check the IHDR of a PNG, which begins at byte 16."""
    depth, colour, compression, filtering, interlace = payload[24:29]
    if colour not in _PNG_DEPTHS:
        reject_corrupt(f"PNG: colour type {colour} does not exist")
    if depth not in _PNG_DEPTHS[colour]:
        reject_corrupt(f"PNG: {depth} bits per sample do not exist for colour type {colour}")
    if compression or filtering or interlace > 1:
        reject_corrupt(f"PNG: compression {compression}, filter {filtering}, interlace {interlace}: not all exist")


def reject_cgbi() -> None:
    """Reject Apple's variant of PNG, whose pixel data is not a zlib stream and whose colours are swapped."""
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
        reject_unsupported(f"JPEG: {process}, {precision} bits per sample, of which 8 are read: {_CONVERT}")
    if components not in (1, 3, 4):
        reject_unsupported(f"JPEG: {components} components, of which 1, 3 and 4 are read: {_CONVERT}")
