"""BMP: headers and the end of the rows, which are padded to 4 bytes. The format has no checksum."""

from __future__ import annotations

import struct
from typing import NamedTuple

from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.structure import CheckSize, reject_corrupt, reject_truncated, reject_unsupported

NONE, RLE8, RLE4, BITFIELDS = range(4)
"""The supported compressions."""

_OTHERS = {4: "JPEG", 5: "PNG", 6: "masks with alpha of Windows CE", 11: "CMYK", 12: "CMYK RLE8", 13: "CMYK RLE4"}
_OS2, _OS2_OTHERS = 64, {3: "Huffman coding of OS/2", 4: "RLE24 of OS/2"}
_MASKS: dict[int, set[tuple[int, ...]]] = {
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
"""Masks of red, green, blue and, for 32 bits, alpha, by the bits per pixel."""
_BITS = {NONE: (1, 2, 4, 8, 16, 24, 32), RLE8: (8,), RLE4: (4,), BITFIELDS: (16, 24, 32)}


class Header(NamedTuple):
    """Header of a BMP.

    Attributes
    ----------
    width, height, is_top_down
        Size in pixels, and whether the first row is the top one.
    bits, compression
        Bits per pixel; `NONE`, `RLE8`, `RLE4` or `BITFIELDS`.
    colours, colour_bytes, palette_start
        Entries of the colour table, bytes per entry, and the offset of the table.
    start
        The offset of the pixels.
    """

    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    colours: int
    colour_bytes: int
    palette_start: int
    start: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row without its padding."""
        return (self.width * self.bits + 7) // 8

    @property
    def stride(self) -> int:
        """Bytes from the start of one row to the next."""
        return (self.width * self.bits + 31) // 32 * 4


def read_header(payload: bytes) -> Header:
    """Return the header of a BMP with complete headers; raise `Refused` for an unsupported compression."""
    offset, size = struct.unpack_from("<II", payload, 10)
    end = 14 + size
    if size == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", payload, 18)
        compression, colours, colour_bytes = NONE, 0, 3
    else:
        width, height, _, bits, compression, _, _, _, colours = struct.unpack_from("<iiHHIIiiI", payload, 18)
        colour_bytes = 4
    other = (_OS2_OTHERS if size == _OS2 else _OTHERS).get(compression)
    if other or compression not in _BITS:
        reject_unsupported(f"BMP: pixels compressed as {other or f'number {compression}'}; save it as PNG or plain BMP")
    if bits not in _BITS[compression]:
        named = {NONE: "plain", RLE8: "RLE8", RLE4: "RLE4", BITFIELDS: "bit field"}[compression]
        reject_unsupported(f"BMP: {named} pixels of {bits} bits; save it as PNG")
    if compression == BITFIELDS and size == 40:
        end += 12
    colours = min(colours or 1 << bits, 1 << bits) if bits <= 8 else 0
    start = offset or end + colours * colour_bytes
    # A negative height means that the first row is the top one.
    return Header(width, abs(height), height < 0, bits, compression, colours, colour_bytes, end, max(start, 14 + size))


def _check_masks(payload: bytes, header_size: int, bits: int) -> None:
    count = 4 if bits == 32 else 3
    masks = struct.unpack_from(f"<{count}I", payload, 54)
    if header_size < 56 and bits == 32:
        masks = (*masks[:3], 0)
    if masks not in _MASKS[bits]:
        shown = " ".join(f"{mask:X}" for mask in masks)
        reject_unsupported(f"BMP: masks {shown} of {bits} bits per pixel; save it as PNG")


def scan_bmp(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure; compressed pixels are checked when they are decoded."""
    size = len(payload)
    if size < 14 + (length := int.from_bytes(payload[14:18], "little")):
        reject_truncated(f"BMP: {size} bytes, ends inside the header of {length}")
    header = read_header(payload)
    check_size(header.width, header.height)
    if header.compression == BITFIELDS and size >= 70:  # a shorter file is truncated
        _check_masks(payload, length, header.bits)
    if header.compression in (RLE8, RLE4):
        if header.is_top_down:
            reject_corrupt("BMP: run lengths from the top, which the format does not have")
    else:
        # The last row needs no padding.
        whole = header.start + header.stride * (header.height - 1) + header.row_bytes
        if whole > size:
            reject_truncated(f"BMP: {size} of {whole} bytes")
    return Picture(payload)
