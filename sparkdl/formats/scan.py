"""Scan the structure of a file without decoding a pixel.

Decoders treat a short file in different ways: an error, a warning, a picture whose lower half is gray. A file's own
structure (chunk lengths, strip tables, end markers) is the same for all decoders, so it is checked first, from the
bytes alone. A payload is `truncated` when its first picture points past its end, and `corrupt` when the structure of
that picture contradicts itself. What follows the picture does not count, nor does its end mark.

A length field that was damaged so that it points past the end cannot be told from a missing end, except where the end
is present (PNG, JPEG and GIF have an end marker).
"""

from __future__ import annotations

from collections.abc import Callable

from sparkdl.formats.containers.bmp import scan_bmp
from sparkdl.formats.containers.gif import scan_gif
from sparkdl.formats.containers.heif import scan_avif, scan_heic
from sparkdl.formats.containers.jpeg import scan_jpeg
from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.png import scan_png
from sparkdl.formats.containers.structure import CheckSize
from sparkdl.formats.containers.tiff import scan_tiff
from sparkdl.formats.containers.webp import scan_webp

_SCANS: dict[str, Callable[[bytes, CheckSize], Picture]] = {
    "PNG": scan_png,
    "JPEG": scan_jpeg,
    "BMP": scan_bmp,
    "GIF": scan_gif,
    "TIFF": scan_tiff,
    "WEBP": scan_webp,
    "AVIF": scan_avif,
    "HEIC": scan_heic,
}


def scan(name: str, payload: bytes, check_size: CheckSize) -> Picture:
    """Return what is to be decoded of a file of this format.

    Parameters
    ----------
    check_size
        Called with the size in pixels, before the scan looks past the header.

    Raises
    ------
    Refused
        If the file is truncated, corrupt or of a variant that is not read.
    """
    return _SCANS[name](payload, check_size)
