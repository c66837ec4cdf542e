"""The supported image formats and their signatures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sparkdl.formats.containers.heif import AVIF_SIGNATURE, HEIC_SIGNATURE
from sparkdl.formats.containers.structure import reject_truncated
from sparkdl.formats.foreign import foreign_detail
from sparkdl.formats.mangled import mangled_detail
from sparkdl.formats.text_payloads import text_detail
from sparkdl.images.rejection import Reason, Refused


@dataclass(frozen=True, slots=True)
class Container:
    """One image format and its signature."""

    name: str
    signature: re.Pattern[bytes]
    prefixes: tuple[bytes, ...]
    """The fixed first bytes, which distinguish a truncated signature from another format."""
    signature_bytes: int


def identify(payload: bytes) -> Container:
    """Return the format of the payload's signature; raise `Refused` if there is none, or only its beginning."""
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
    Container("PNG", _signature(rb"\x89PNG\r\n\x1a\n"), (b"\x89PNG\r\n\x1a\n",), 8),
    Container("JPEG", _signature(rb"\xff\xd8\xff"), (b"\xff\xd8\xff",), 3),
    # Many texts also begin with "BM"; the size of the information header, one of seven, decides.
    Container("BMP", _signature(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00\x00\x00"), (b"BM",), 18),
    Container("GIF", _signature(rb"GIF8[79]a"), (b"GIF87a", b"GIF89a"), 6),
    Container("TIFF", _signature(rb"II[*+]\x00|MM\x00[*+]"), (b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"), 4),
    Container("WEBP", _signature(rb"RIFF.{4}WEBP"), (b"RIFF",), 12),
    Container("AVIF", AVIF_SIGNATURE, _FTYP, 32),
    Container("HEIC", HEIC_SIGNATURE, _FTYP, 32),
)
