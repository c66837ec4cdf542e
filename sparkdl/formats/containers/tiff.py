"""TIFF 6.0 and BigTIFF: where the strips or tiles of the first full picture lie.

Only that picture is scanned, because only that is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.structure import CheckSize, reject_corrupt, reject_truncated, reject_unsupported
from sparkdl.formats.containers.tiff_directory import (
    HEIGHT,
    PLANAR,
    ROWS_PER_STRIP,
    SAMPLES,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Directory,
    Numbers,
    first_picture,
)

MAX_PIECES = 1 << 18
"""Strips or tiles of one picture: each takes the decoder some time."""
_MAX_SAMPLES = 64
_TILE_STEP = 16  # sides of tiles are multiples of it
_SHARED = 4  # how often the bytes of a file may be used by its strips together


@dataclass(frozen=True, slots=True)
class Layout:
    """Strips or tiles of a picture, "pieces" here.

    Attributes
    ----------
    width, height
        Of the picture, pixels.
    piece_width, piece_height
        Of a piece, pixels; the last strip of a plane may be lower.
    planes
        1, or the number of samples if each is stored in separate pieces.
    is_tiled
        Tiles are complete at the right and lower edges too.
    offsets, counts
        Where each piece begins, and its bytes: plane by plane, row by row.
    """

    width: int
    height: int
    piece_width: int
    piece_height: int
    planes: int
    is_tiled: bool
    offsets: Numbers
    counts: Numbers

    @property
    def across(self) -> int:
        """Pieces beside each other."""
        return -(-self.width // self.piece_width)

    @property
    def down(self) -> int:
        """Pieces below each other."""
        return -(-self.height // self.piece_height)


def scan_tiff(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure of the first full picture; return the file itself."""
    directory = first_picture(payload)
    check_size(directory.first(WIDTH), directory.first(HEIGHT))
    # The decoder makes room for one tile, whatever the size of the image.
    check_size(directory.first(TILE_WIDTH, 1), directory.first(TILE_HEIGHT, 1))
    if directory.following > len(payload):
        reject_truncated(f"TIFF: {len(payload)} bytes, the next image is said to start at {directory.following}")
    read_layout(payload, directory)
    return Picture(payload)


def read_layout(payload: bytes, directory: Directory) -> Layout:
    """Return where the pieces of a picture lie; its size must have been checked.

    Raises `Refused`: as truncated where a piece lies past the end of the file, as unsupported where one is not stored
    at all ("sparse" files, and what a writer left behind that was interrupted), as corrupt where numbers contradict
    each other.
    """
    width, height = directory.first(WIDTH), directory.first(HEIGHT)
    planes = directory.first(SAMPLES, 1) if directory.first(PLANAR, 1) == 2 else 1
    if planes > _MAX_SAMPLES:
        reject_corrupt(f"TIFF: {planes} samples a pixel")
    is_tiled = TILE_OFFSETS in directory.numbers
    if is_tiled:
        piece_width, piece_height = directory.first(TILE_WIDTH), directory.first(TILE_HEIGHT)
        if not piece_width or not piece_height or piece_width % _TILE_STEP or piece_height % _TILE_STEP:
            reject_corrupt(f"TIFF: tiles of {piece_width} x {piece_height}, expected multiples of {_TILE_STEP}")
    else:
        piece_width, piece_height = width, min(directory.first(ROWS_PER_STRIP, height), height)
        if not piece_height:
            reject_corrupt("TIFF: strips of 0 rows")
    expected = planes * -(-width // piece_width) * -(-height // piece_height)
    if expected > MAX_PIECES:
        reject_unsupported(
            f"TIFF: {expected} strips or tiles, at most {MAX_PIECES} are read; save it with larger strips or tiles"
        )
    offsets, counts = _extents(payload, directory, expected, is_tiled=is_tiled)
    layout = Layout(width, height, piece_width, piece_height, planes, is_tiled, offsets, counts)
    _check_extents(payload, layout)
    return layout


def _extents(payload: bytes, directory: Directory, expected: int, *, is_tiled: bool) -> tuple[Numbers, Numbers]:
    nothing = np.zeros(0, np.uint64)
    offsets_tag, counts_tag = (TILE_OFFSETS, TILE_COUNTS) if is_tiled else (STRIP_OFFSETS, STRIP_COUNTS)
    offsets = directory.numbers.get(offsets_tag, nothing)
    counts = directory.numbers.get(counts_tag, nothing)
    if counts_tag not in directory.numbers and len(offsets) == expected == 1:
        if int(offsets[0]) > len(payload):
            reject_truncated(f"TIFF: {len(payload)} bytes, the strip begins past the end")
        counts = np.array([len(payload) - int(offsets[0])], np.uint64)  # old writers leave the size of one strip out
    if len(offsets) != len(counts) or len(offsets) < expected:
        reject_corrupt(f"TIFF: expected {expected} strips or tiles, received: {len(offsets)}, of {len(counts)} sizes")
    return offsets[:expected], counts[:expected]


def _check_extents(payload: bytes, layout: Layout) -> None:
    size, offsets, counts = len(payload), layout.offsets, layout.counts
    # Compared without adding, so that no sum wraps around.
    if bool(np.any(offsets > size)) or bool(np.any(counts > size - offsets)):
        reject_truncated(f"TIFF: {size} bytes, a strip or tile lies past the end")
    missing = int(np.count_nonzero((offsets == 0) | (counts == 0)))
    if missing:
        reject_unsupported(
            f"TIFF: {missing} of {len(offsets)} strips or tiles are not stored (a sparse file, or one whose writer was "
            "interrupted); write it again with all of them"
        )
    if int(counts.sum()) > _SHARED * size:
        reject_corrupt(f"TIFF: {size} bytes, but {int(counts.sum())} in its strips or tiles together")
