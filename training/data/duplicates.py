"""Finds duplicate images by their bytes, without decoding them.

Two files are duplicates if they are equal, or if both are PNG files whose picture data are equal: header, palette,
transparency and compressed pixels. A different comment, timestamp or resolution does not make a different picture; a
different compression does. Comparing pixels would mean decoding every image, which takes far longer and, because the
bytes are untrusted, needs the decoder process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sparkdl.formats.containers.png_chunks import SIGNATURE, chunks

_PICTURE_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_MAX_NAMES = 4  # names in a conflict's line


@dataclass(frozen=True)
class Duplicates:
    """Which images of a dataset show the same picture.

    Attributes
    ----------
    first
        For each image, the index of the first image with the same picture; its own index if it is the first.
    conflicts
        A line for each picture whose duplicates have different labels.
    """

    first: tuple[int, ...]
    conflicts: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many images are duplicates of an earlier one."""
        return sum(index != first for index, first in enumerate(self.first))


def picture_key(payload: bytes) -> bytes | None:
    """Return a digest that files with the same picture share; None for an empty file."""
    if not payload:
        return None
    return _png_key(payload) or hashlib.sha256(payload).digest()


def _png_key(payload: bytes) -> bytes | None:
    """Return the SHA-256 over a PNG file's picture chunks; None for other formats and broken structures."""
    if not payload.startswith(SIGNATURE):
        return None
    total = hashlib.sha256()
    view = memoryview(payload)
    for chunk in chunks(payload):
        if chunk.end > len(payload):
            return None
        if chunk.kind == b"IEND":
            return total.digest()
        if chunk.kind in _PICTURE_CHUNKS:
            if chunk.kind != b"IDAT":  # pixel data may be split into chunks anywhere
                total.update(view[chunk.start - 8 : chunk.start])
            total.update(view[chunk.start : chunk.stop])
    return None


def find_duplicates(images: Sequence[tuple[str, str, bytes | None]]) -> Duplicates:
    """Find the duplicates among images, each given as its name, its label and its `picture_key`."""
    seen: dict[bytes, int] = {}
    first = tuple(index if key is None else seen.setdefault(key, index) for index, (_, _, key) in enumerate(images))
    labels: dict[int, dict[str, str]] = {}  # per picture: each label, and the first image with that label
    for index, of in enumerate(first):
        name, label, _ = images[index]
        labels.setdefault(of, {}).setdefault(label, name)
    return Duplicates(first, tuple(_conflict(names) for names in labels.values() if len(names) > 1))


def _conflict(names: dict[str, str]) -> str:
    shown = ", ".join(f"{name} ({label})" for label, name in list(names.items())[:_MAX_NAMES])
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"{shown}{more}: the same picture with different labels"
