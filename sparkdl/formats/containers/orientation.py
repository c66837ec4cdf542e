"""Orientation of a picture from its EXIF or XMP. Unreadable metadata is ignored."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable

from sparkdl.formats.containers.picture import UPRIGHT

EXIF_PREFIX = b"Exif\0\0"
"""The prefix of EXIF in a JPEG segment, and sometimes in other formats."""

_MAX_TEXT = 2**20  # maximum bytes of metadata after decompression; longer metadata is ignored
_TAG = 0x0112
_TYPES = {1: "B", 3: "H", 4: "I"}
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")


def orientation_of(exifs: Iterable[bytes], xmps: Iterable[bytes] = ()) -> int:
    """Return the orientation, 1 to 8, from the first readable EXIF; else from the first XMP; else 1."""
    for exif in exifs:
        if (stated := _exif_orientation(exif.removeprefix(EXIF_PREFIX))) is not None:
            return stated if 1 <= stated <= 8 else UPRIGHT
    for xmp in xmps:
        if match := _XMP.search(xmp):
            return int(match[1])
    return UPRIGHT


def decompressed(data: bytes) -> bytes:
    """Return the decompressed zlib `data`; b"" if it is damaged, or too long for the metadata of a picture."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, _MAX_TEXT)
    except zlib.error:
        return b""
    return text if inflater.eof else b""


def hexadecimal_profile(text: bytes) -> bytes:
    """Return the bytes of a "Raw profile type", ImageMagick's text form with a name, a length and hexadecimal lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return b""


def _exif_orientation(tiff: bytes) -> int | None:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == _TAG and kind in _TYPES:
                return int(struct.unpack_from(f"{order}{_TYPES[kind]}", tiff, entry + 8)[0])
    except struct.error:
        pass
    return None
