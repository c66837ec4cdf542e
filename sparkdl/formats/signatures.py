"""The image formats that are read, by signature; each scans the structure of a file without decoding a pixel.

Decoders treat a short file in different ways: an error, a warning, a picture whose lower half is gray. A file's own
structure (chunk lengths, strip tables, end markers) is the same for all decoders, so it is checked first, from the
bytes alone. A payload is `truncated` when its first picture points past its end and `corrupt` when that contradicts
itself. What follows the picture, its end mark too, does not count.
A length field that was damaged so that it points past the end cannot be told from a missing end, except where the end
is present (PNG, JPEG and GIF have an end marker).

Bytes after the end of the image are ignored, as by all decoders.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sparkdl.formats.containers.bmp import scan_bmp
from sparkdl.formats.containers.gif import scan_gif
from sparkdl.formats.containers.heif import AVIF_SIGNATURE, HEIC_SIGNATURE, scan_avif, scan_heic
from sparkdl.formats.containers.jpeg import scan_jpeg
from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.png import scan_png
from sparkdl.formats.containers.structure import CheckSize, reject_truncated
from sparkdl.formats.containers.tiff import scan_tiff
from sparkdl.formats.containers.webp import scan_webp
from sparkdl.formats.foreign import foreign_detail
from sparkdl.formats.mangled import mangled_detail
from sparkdl.formats.text_payloads import text_detail
from sparkdl.images.rejection import Reason, Refused


@dataclass(frozen=True, slots=True)
class Container:
    """One image format: its signature, and the scan of its structure."""

    name: str
    signature: re.Pattern[bytes]
    prefixes: tuple[bytes, ...]
    """The first bytes, as far as they are fixed: they tell a truncated signature from another format."""
    signature_bytes: int
    scan_structure: Callable[[bytes, CheckSize], Picture | None]
    """Reads the structure, calls `check_size` before it looks past the header, and raises `Refused`. Returns what of
    the file is to be decoded; None for all of it."""


def identify(payload: bytes) -> Container:
    """The format whose signature the payload bears; raises `Refused` when there is none, or only the start of one."""
    if container := _container_of(payload):
        return container
    for container in CONTAINERS:
        if 2 <= len(payload) < container.signature_bytes and any(
            payload.startswith(prefix[: len(payload)]) for prefix in container.prefixes
        ):
            reject_truncated(f"{container.name}: {len(payload)} bytes, ends inside the signature")
    raise Refused(Reason.UNSUPPORTED_FORMAT, _unsupported_detail(payload))


def _container_of(payload: bytes) -> Container | None:
    return next((container for container in CONTAINERS if container.signature.match(payload)), None)


def _name_of(payload: bytes) -> str | None:
    container = _container_of(payload)
    return container.name if container else None


def _unsupported_detail(payload: bytes) -> str:
    for detail_of in (foreign_detail, mangled_detail, text_detail):
        if detail := detail_of(payload, _name_of):
            return detail
    names = ", ".join(container.name for container in CONTAINERS)
    return f"expected one of {names}; received bytes that begin {payload[:16]!r}"


def _signature(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern, re.DOTALL)


_FTYP = tuple(bytes((0, 0, 0, length)) + b"ftyp" for length in range(16, 80, 4))

CONTAINERS = (
    Container("PNG", _signature(rb"\x89PNG\r\n\x1a\n"), (b"\x89PNG\r\n\x1a\n",), 8, scan_png),
    Container("JPEG", _signature(rb"\xff\xd8\xff"), (b"\xff\xd8\xff",), 3, scan_jpeg),
    # "BM" alone also begins many a text; the size of the information header, one of seven, settles it.
    Container("BMP", _signature(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"), (b"BM",), 18, scan_bmp),
    Container("GIF", _signature(rb"GIF8[79]a"), (b"GIF87a", b"GIF89a"), 6, scan_gif),
    Container("TIFF", _signature(rb"II[*+]\x00|MM\x00[*+]"), (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"), 4, scan_tiff),
    Container("WEBP", _signature(rb"RIFF.{4}WEBP"), (b"RIFF",), 12, scan_webp),
    Container("AVIF", AVIF_SIGNATURE, _FTYP, 32, scan_avif),
    Container("HEIC", HEIC_SIGNATURE, _FTYP, 32, scan_heic),
)
