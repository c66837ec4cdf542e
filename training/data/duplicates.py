"""Finds images that are the same picture, by their bytes: nothing is decoded.

Two files are copies if they are equal, or if both are PNG and what their pixels are made of is: header, palette,
transparency and compressed pixels. So a comment, a time or a resolution makes no other picture, but another compression
does. To see through that, every image would have to be decoded, which takes far longer and, as the bytes come from
anywhere, would have to be done in a process of its own.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

_PNG = b"\x89PNG\r\n\x1a\n"
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_SHOWN = 4  # names in a line


@dataclass(frozen=True)
class Copies:
    """Which images of a data set are the same picture.

    Attributes
    ----------
    first
        For each image, the index of the first that is the same picture: its own if there is none before it.
    conflicts
        A line for each picture whose copies have different labels.
    """

    first: tuple[int, ...]
    conflicts: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many images are copies of one before them."""
        return sum(index != first for index, first in enumerate(self.first))


def picture_key(payload: bytes) -> bytes | None:
    """The same for files that hold the same picture; None for an empty file, which holds none."""
    if not payload:
        return None
    return _png_key(payload) or hashlib.sha256(payload).digest()


def _png_key(payload: bytes) -> bytes | None:
    """SHA-256 over the chunks that make the picture; None if this is no PNG or one whose structure is broken."""
    if not payload.startswith(_PNG):
        return None
    total = hashlib.sha256()
    view, position = memoryview(payload), len(_PNG)
    while position + 12 <= len(payload):
        length, kind = struct.unpack_from(">I4s", payload, position)
        if kind == b"IEND":
            return total.digest()
        start, position = position + 8, position + 12 + length
        if kind in _PICTURE:
            if kind != b"IDAT":  # pixels may be cut into chunks anywhere
                total.update(payload[start - 8 : start])
            total.update(view[start : position - 4])
    return None


def find_copies(images: Sequence[tuple[str, str, bytes | None]]) -> Copies:
    """The copies among images, each given as its name, its label and its `picture_key`."""
    seen: dict[bytes, int] = {}
    first = tuple(index if key is None else seen.setdefault(key, index) for index, (_, _, key) in enumerate(images))
    labels: dict[int, dict[str, str]] = {}  # of each picture: label, and the first image that has it
    for index, of in enumerate(first):
        name, label, _ = images[index]
        labels.setdefault(of, {}).setdefault(label, name)
    return Copies(first, tuple(_conflict(names) for names in labels.values() if len(names) > 1))


def _conflict(names: dict[str, str]) -> str:
    shown = ", ".join(f"{name} ({label})" for label, name in list(names.items())[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{shown}{more}: the same picture with different labels"
