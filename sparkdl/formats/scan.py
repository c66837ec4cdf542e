"""Scan of a file's structure without decoding pixels.

Decoders treat a short file differently: an error, a warning, or a picture with a gray lower half. The structure of a
file (chunk lengths, strip tables, end markers) is the same for all decoders, so it is checked first, from the bytes
alone. A payload is `truncated` if its first picture points past its end, and `corrupt` if the structure of that picture
is inconsistent. Data after the picture and the end marker do not count.

A damaged length field that points past the end cannot be distinguished from a missing end, unless the end marker is
present (PNG, JPEG and GIF have one).
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
    """Return the part of a file that must be decoded, given its format.

    Parameters
    ----------
    check_size
        Called with the size in pixels before the scan reads beyond the header.

    Raises
    ------
    Refused
        If the file is truncated, corrupt or of an unsupported variant.
    """
    return _SCANS[name](payload, check_size)
