"""Hand-made attacks on TIFF: directories that point at themselves, endless tiles and strips, odd samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fuzzing import ANY, DAMAGED, PREDICTED
from valid_files import tiff

P = frozenset({PREDICTED})
TOO_MANY_PIXELS = frozenset({"too_many_pixels"})
FOUND = DAMAGED
LATE = frozenset({"decoder_timeout"})
MIB = 2**20
FILLED = 7000
"""The side of a picture just below `Limits.max_pixels`."""

Made = Iterator[tuple[str, bytes, frozenset[str]]]


def plain_tiff(changes: Mapping[int, tuple[int, int | Sequence[int]] | None], following: int = 0) -> bytes:
    """Return 64 x 64 gray pixels in one strip; `changes` sets the type and value of a tag, or None to omit it."""
    plain = {256: (4, 64), 257: (4, 64), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 8), 277: (3, 1)}
    tags: dict[int, tuple[int, int | Sequence[int]] | None] = {**plain, 278: (4, 64), 279: (4, 4096), **changes}
    return tiff([(tag, *value) for tag, value in sorted(tags.items()) if value], data=bytes(4096), following=following)


DIRECTORY = 8 + 4096
"""The offset of the directory of `plain_tiff`."""


def tiff_structures() -> Made:
    yield "next directory is this one", plain_tiff({}, following=DIRECTORY), ANY
    for tag in (330, 34665, 34853, 40965):
        yield f"tag {tag} points at its own directory", plain_tiff({tag: (4, DIRECTORY)}), P
        yield f"tag {tag} points at 1,000 directories", plain_tiff({tag: (4, [DIRECTORY] * 1000)}), ANY
    large = {322: (4, 65_535), 323: (4, 65_535), 324: (4, 8), 325: (4, 4096)}
    yield "tiles of 65,535", plain_tiff(large), TOO_MANY_PIXELS
    yield "tiles of 1 x 1", plain_tiff({322: (4, 1), 323: (4, 1), 324: (4, [8] * 4096), 325: (4, [1] * 4096)}), ANY
    yield "65,535 samples", plain_tiff({277: (3, 65_535)}), FOUND
    yield "65,535 samples in planes", plain_tiff({277: (3, 65_535), 284: (3, 2)}), FOUND
    yield "65,535 bits", plain_tiff({258: (3, 65_535)}), FOUND
    yield "4,000 bits given", plain_tiff({258: (3, [8] * 4000)}), ANY
    for rows in (0, 1, 0xFFFFFFFF):
        yield f"strips of {rows} rows", plain_tiff({278: (4, rows)}), ANY
    for compression in (2, 3, 4, 5, 6, 7, 8, 32773, 34712, 34925, 50000, 50001, 65535):
        packed = {259: (3, compression)}
        yield f"compression {compression} of zeros", plain_tiff(packed), ANY
        filled = packed | {256: (4, FILLED), 257: (4, FILLED), 278: (4, FILLED)}
        yield f"compression {compression} of 49 megapixels", plain_tiff(filled), ANY


def endless_structures() -> Made:
    pixels = 2000 * 2000
    size = {256: (4, 2000), 257: (4, 2000)}
    tiles: dict[int, tuple[int, int | Sequence[int]]]
    tiles = {322: (4, 1), 323: (4, 1), 324: (4, [8] * pixels), 325: (4, [1] * pixels)}
    no_strips = {273: None, 278: None, 279: None}
    yield "TIFF of 4 million tiles", plain_tiff({**size, **tiles, **no_strips}), FOUND
    yield "TIFF of a million strips", plain_tiff({278: (4, 1), 273: (4, [8] * MIB), 279: (4, [64] * MIB)}), ANY | LATE
