"""Boxes of the ISO base media file format (ISO/IEC 14496-12): length, type, content; boxes are nested."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sparkdl.formats.containers.structure import reject_corrupt, reject_unsupported

_MAX_BOXES = 65_536
"""Maximum boxes in one box; a payload of maximum length can have millions of empty boxes."""


class Box(NamedTuple):
    """A box.

    Attributes
    ----------
    kind
        Its type, four bytes.
    start, end
        Where its content begins and ends; `end` may be past the end of the file.
    """

    kind: bytes
    start: int
    end: int


def boxes(payload: bytes, start: int, stop: int) -> Iterator[Box]:
    """Yield the boxes from `start` on; end at `stop`, at bytes that are not a box, or after a box without a length."""
    for _ in range(_MAX_BOXES):
        header = payload[start : min(start + 16, stop)]
        if len(header) < 8 or not header[4:8].isascii():
            return
        length, begin = int.from_bytes(header[:4], "big"), 8
        if length == 1:
            length, begin = int.from_bytes(header[8:16], "big"), 16
        end = start + length if length else max(stop, start + begin)
        if end < start + begin:
            return
        yield Box(header[4:8], start + begin, end)
        start = end
        if start >= stop:
            return
    reject_unsupported(f"more than {_MAX_BOXES} boxes")


def inner(name: str, payload: bytes, box: Box, skip: int = 0) -> dict[bytes, Box]:
    """Return the first box of each type in a box; skip `skip` bytes of other content before them.

    Raises `Refused` (corrupt) for a box that is longer than the box that contains it.
    """
    found: dict[bytes, Box] = {}
    for child in boxes(payload, box.start + skip, box.end):
        if child.end > box.end:
            reject_corrupt(f"{name}: box {child.kind.decode('latin-1')} is longer than the box that contains it")
        found.setdefault(child.kind, child)
    return found


class Reader:
    """Reads successive big-endian numbers of a box; raises `IndexError` past the end of the box."""

    def __init__(self, payload: bytes, box: Box) -> None:
        self._payload = payload
        self._at = box.start
        self._end = min(box.end, len(payload))

    def bytes(self, count: int) -> bytes:
        """Return the next bytes."""
        if self._at + count > self._end:
            raise IndexError
        self._at += count
        return self._payload[self._at - count : self._at]

    def number(self, count: int) -> int:
        """Return the next `count` bytes as an unsigned number, 0 for a `count` of 0."""
        return int.from_bytes(self.bytes(count), "big")

    def version(self) -> tuple[int, int]:
        """Return the version and the flags at the beginning of a full box."""
        both = self.number(4)
        return both >> 24, both & 0xFFFFFF
