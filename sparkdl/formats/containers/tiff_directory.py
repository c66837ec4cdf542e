"""Directories of TIFF 6.0 and BigTIFF: their tags, and the one of the first full picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sparkdl.formats.containers.structure import reject_corrupt, reject_truncated

Numbers = npt.NDArray[np.uint64]

NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION = 254, 255, 256, 257, 258, 259
PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP = 262, 266, 273, 274, 277, 278
STRIP_COUNTS, MAX_SAMPLE_VALUE, PLANAR, T4_OPTIONS, T6_OPTIONS, PREDICTOR = 279, 281, 284, 292, 293, 317
COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SUB_DIRECTORIES = 320, 322, 323, 324, 325, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 332, 338, 339, 347
YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, REFERENCE_BLACK_WHITE, GDAL_NO_DATA = 529, 530, 532, 42113

_NUMBERS = frozenset(
    {NEW_SUBFILE_TYPE, SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS}
    | {ORIENTATION, SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, MAX_SAMPLE_VALUE, PLANAR, T4_OPTIONS, T6_OPTIONS}
    | {PREDICTOR, COLOR_MAP, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, SUB_DIRECTORIES, INK_SET}
    | {EXTRA_SAMPLES, SAMPLE_FORMAT, YCBCR_SUBSAMPLING}
)
_BYTES = frozenset({JPEG_TABLES, YCBCR_COEFFICIENTS, REFERENCE_BLACK_WHITE, GDAL_NO_DATA})
_PER_PIECE = frozenset({STRIP_OFFSETS, STRIP_COUNTS, TILE_OFFSETS, TILE_COUNTS})
_TYPES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)
"""Bytes per value, by type code; code 0 is not a type."""
_INTEGERS = frozenset({1, 3, 4, 13, 16, 18})
_FIRST_PRIVATE_TAG = 32768
_MAX_TAGS = 65535
"""Maximum tags of all visited directories together."""
_MAX_PAGES, _MAX_SUB_DIRECTORIES = 256, 16
_MAX_VALUES = 3 << 16
"""Maximum values of a tag that does not have one value per strip: a colour map of 16 bits."""
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2


@dataclass(frozen=True, slots=True)
class Directory:
    """One directory.

    Attributes
    ----------
    order
        "<" or ">", the byte order of the file.
    numbers
        Values of integer tags.
    raw
        Bytes of the values of the other used tags, in the byte order of the file.
    following
        Offset of the next directory; 0 if there is none.
    """

    order: str
    numbers: dict[int, Numbers] = field(default_factory=dict)
    raw: dict[int, bytes] = field(default_factory=dict)
    following: int = 0

    def first(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag; `default` if the tag is absent or empty."""
        values = self.numbers.get(tag)
        return default if values is None or not len(values) else int(values[0])

    def rationals(self, tag: int) -> list[float]:
        """Return the values of a tag of unsigned fractions, empty if the tag is absent; x / 0 is NaN."""
        pairs = np.frombuffer(self.raw.get(tag, b""), f"{self.order}u4")
        pairs = pairs[: len(pairs) // 2 * 2].reshape(-1, 2).astype(np.float64)
        return [float(a / b) if b else float("nan") for a, b in pairs]

    @property
    def is_full(self) -> bool:
        """Whether it is a picture, and not the reduced version or the mask of another picture."""
        is_part = self.first(NEW_SUBFILE_TYPE) & (_REDUCED | _MASK)
        return not is_part and self.first(SUBFILE_TYPE) != _OLD_REDUCED


def first_picture(payload: bytes) -> Directory:
    """Return the directory of the first full picture.

    That is the first page that is neither a reduced picture nor a mask. The sub-directories of a page come before the
    next page, because raw files store the picture there. If no page is a full picture, the first page is returned.

    Raises `Refused` if a directory on the way is past the end of the file or inconsistent.
    """
    first: Directory | None = None
    for directory in _directories(payload):
        if directory.is_full:
            return directory
        first = first or directory
    assert first  # `_directories` yields at least one, or raises
    return first


def _directories(payload: bytes) -> Iterator[Directory]:
    order = "<" if payload[:2] == b"II" else ">"
    reader = _Reader(payload, order, 43 in payload[2:4])
    seen: set[int] = set()
    position = reader.number(reader.pointer, 8 if reader.is_big else 4)
    while True:
        seen.add(position)
        page = reader.directory(position)
        yield page
        for sub in page.numbers.get(SUB_DIRECTORIES, ())[:_MAX_SUB_DIRECTORIES]:
            if sub and int(sub) not in seen:
                seen.add(int(sub))
                yield reader.directory(int(sub))
        position = page.following
        if not position or position in seen or len(seen) > _MAX_PAGES:
            return


class _Reader:
    def __init__(self, payload: bytes, order: str, is_big: bool) -> None:
        self.is_big = is_big
        self.pointer = "Q" if is_big else "I"
        self._payload, self._order = payload, order
        self._counter, self._entry_size = ("Q", 20) if is_big else ("H", 12)
        self._tags = 0

    def number(self, kind: str, position: int) -> int:
        if position + struct.calcsize(kind) > len(self._payload):
            reject_truncated(f"TIFF: {len(self._payload)} bytes, ends before the directory of tags")
        return int(struct.unpack_from(self._order + kind, self._payload, position)[0])

    def directory(self, position: int) -> Directory:
        entries = self.number(self._counter, position)
        self._tags += entries
        if self._tags > _MAX_TAGS:
            reject_corrupt(f"TIFF: {entries} tags in a directory, at most {_MAX_TAGS} are allowed in all")
        position += struct.calcsize(self._counter)
        following = self.number(self.pointer, position + entries * self._entry_size)
        directory = Directory(self._order, following=following)
        for entry in range(position, position + entries * self._entry_size, self._entry_size):
            self._read_tag(entry, directory)
        return directory

    def _read_tag(self, entry: int, directory: Directory) -> None:
        tag, kind, count = struct.unpack_from(f"{self._order}HH{self.pointer}", self._payload, entry)
        width = _TYPES[kind] if kind < len(_TYPES) else 0
        # The values of private tags are not needed for the picture, and their offsets are often wrong.
        is_private = tag >= _FIRST_PRIVATE_TAG
        if not width or (is_private and tag not in _BYTES):
            return
        place = entry + 4 + struct.calcsize(self.pointer)
        if count * width > struct.calcsize(self.pointer):
            place = self.number(self.pointer, place)
        if place + count * width > len(self._payload):
            if is_private:
                return
            reject_truncated(f"TIFF: {len(self._payload)} bytes, the values of tag {tag} are past the end")
        # If a tag occurs twice, the first one counts.
        if tag in _NUMBERS and kind in _INTEGERS and tag not in directory.numbers:
            count = count if tag in _PER_PIECE else min(count, _MAX_VALUES)
            values = np.frombuffer(self._payload, f"{self._order}u{width}", count, place)
            directory.numbers[tag] = values.astype(np.uint64)
        elif tag in _BYTES and tag not in directory.raw:
            directory.raw[tag] = bytes(self._payload[place : place + min(count * width, _MAX_VALUES)])
