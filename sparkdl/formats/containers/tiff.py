"""TIFF 6.0 and BigTIFF: location of the strips or tiles of the first full picture.

Only that picture is scanned, because only that picture is decoded.
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
"""Maximum strips or tiles of one picture: each takes the decoder some time."""
_MAX_SAMPLES = 64
_TILE_STEP = 16  # sides of tiles are multiples of it
_SHARED = 4  # maximum total size of the strips, relative to the size of the file


@dataclass(frozen=True, slots=True)
class Layout:
    """Strips or tiles of a picture, "pieces" here.

    Attributes
    ----------
    width, height
        Size of the picture in pixels.
    piece_width, piece_height
        Size of a piece in pixels; the last strip of a plane may be lower.
    planes
        1, or the number of samples if each is stored in separate pieces.
    is_tiled
        Whether the pieces are tiles, which are complete at the right and lower edges too.
    offsets, counts
        Offset and length in bytes of each piece: plane by plane, row by row.
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
        """The number of pieces in a row."""
        return -(-self.width // self.piece_width)

    @property
    def down(self) -> int:
        """The number of pieces in a column."""
        return -(-self.height // self.piece_height)


def scan_tiff(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure of the first full picture; return the original file."""
    directory = first_picture(payload)
    check_size(directory.first(WIDTH), directory.first(HEIGHT))
    # The decoder allocates one tile, whatever the size of the image.
    check_size(directory.first(TILE_WIDTH, 1), directory.first(TILE_HEIGHT, 1))
    if directory.following > len(payload):
        reject_truncated(f"TIFF: {len(payload)} bytes, the next image is said to start at {directory.following}")
    read_layout(payload, directory)
    return Picture(payload)


def read_layout(payload: bytes, directory: Directory) -> Layout:
    """Return the location of the pieces of a picture; its size must have been checked.

    Raises `Refused`: as truncated if a piece is past the end of the file, as unsupported if a piece is not stored
    ("sparse" files, and files whose writer was interrupted), as corrupt if numbers are inconsistent.
    """
    width, height = directory.first(WIDTH), directory.first(HEIGHT)
    planes = directory.first(SAMPLES, 1) if directory.first(PLANAR, 1) == 2 else 1
    if planes > _MAX_SAMPLES:
        reject_corrupt(f"TIFF: {planes} samples per pixel")
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
        counts = np.array([len(payload) - int(offsets[0])], np.uint64)  # old writers omit the size of a single strip
    if len(offsets) != len(counts) or len(offsets) < expected:
        reject_corrupt(f"TIFF: expected {expected} strips or tiles, received: {len(offsets)}, of {len(counts)} sizes")
    return offsets[:expected], counts[:expected]


def _check_extents(payload: bytes, layout: Layout) -> None:
    size, offsets, counts = len(payload), layout.offsets, layout.counts
    # Compare without adding, so that no sum overflows.
    if bool(np.any(offsets > size)) or bool(np.any(counts > size - offsets)):
        reject_truncated(f"TIFF: {size} bytes, a strip or tile is past the end")
    missing = int(np.count_nonzero((offsets == 0) | (counts == 0)))
    if missing:
        reject_unsupported(
            f"TIFF: {missing} of {len(offsets)} strips or tiles are not stored (a sparse file, or one whose writer was "
            "interrupted); write it again with all of them"
        )
    if int(counts.sum()) > _SHARED * size:
        reject_corrupt(f"TIFF: {size} bytes, but {int(counts.sum())} in its strips or tiles together")
