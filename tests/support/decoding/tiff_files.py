"""TIFF files of every kind, written from arrays by the standard alone: no reader's code has a part in them."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NONE, RLE, GROUP_3, GROUP_4, LZW, JPEG, ADOBE_DEFLATE, PACKBITS, DEFLATE, LZMA, ZSTD = (
    1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000,
)  # fmt: skip
LOSSLESS = {
    "none": NONE,
    "packbits": PACKBITS,
    "lzw": LZW,
    "adobe deflate": ADOBE_DEFLATE,
    "deflate": DEFLATE,
    "lzma": LZMA,
    "zstd": ZSTD,
}
_PACK: dict[int, Callable[..., Any]] = {
    NONE: bytes,
    PACKBITS: imagecodecs.packbits_encode,
    LZW: imagecodecs.lzw_encode,
    ADOBE_DEFLATE: zlib.compress,
    DEFLATE: zlib.compress,
    LZMA: lzma.compress,
    ZSTD: imagecodecs.zstd_encode,
}
SHORT, LONG, RATIONAL, ASCII, LONG8 = 3, 4, 5, 2, 16
_CODES = {1: "B", ASCII: "B", SHORT: "H", LONG: "I", 7: "B", 13: "I", LONG8: "Q"}
Tag = tuple[int, Sequence[int]]


@dataclass
class Page:
    """One directory, and how its samples are stored.

    Attributes
    ----------
    samples
        [height, width, samples]: unsigned, signed or floating point; of less than 8 and of 10, 12, 14 bits unsigned.
    bits
        Bits a sample, 0 for those of the type.
    strip, tile
        Rows a strip (0 for all), or sides of a tile (height, width).
    tags
        Further tags, or other values: number to (type, values).
    codec
        Encodes a piece of rows in place of the compression's own codec.
    """

    samples: Array
    photometric: int = 1
    compression: int = NONE
    predictor: int = 1
    planar: bool = False
    bits: int = 0
    strip: int = 0
    tile: tuple[int, int] | None = None
    tags: dict[int, Tag] = field(default_factory=dict)
    codec: Callable[[Array], bytes] | None = None
    sub: list[Page] = field(default_factory=list)


def write(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """Return a file of these pages."""
    mark = b"II" if order == "<" else b"MM"
    header = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
    body = bytearray(mark + header)
    link = 8 if big else 4
    for page in pages:
        subs = [_directory(body, sub, order, big, [])[0] for sub in page.sub]
        start, end = _directory(body, page, order, big, subs)
        struct.pack_into(order + ("Q" if big else "I"), body, link, start)
        link = end
    return bytes(body)


def _directory(body: bytearray, page: Page, order: str, big: bool, subs: list[int]) -> tuple[int, int]:
    """Append a page; return where its directory begins, and where its link to the next one is."""
    height, width, count = page.samples.shape
    bits = page.bits or page.samples.dtype.itemsize * 8
    offsets, counts = [], []
    for piece in _pieces(page):
        data = _encoded(piece, page, bits, order)
        body += b"\0" * (len(body) % 2)
        offsets.append(len(body))
        counts.append(len(data))
        body += data
    number = {"u": 1, "i": 2, "f": 3}[page.samples.dtype.kind]
    extent = LONG8 if big else LONG
    tags: dict[int, Tag] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * count),
        259: (SHORT, [page.compression]),
        262: (SHORT, [page.photometric]),
        277: (SHORT, [count]),
        284: (SHORT, [2 if page.planar else 1]),
    }
    if number != 1:
        tags[339] = (SHORT, [number] * count)
    if page.predictor != 1:
        tags[317] = (SHORT, [page.predictor])
    if page.tile:
        tags |= {
            322: (SHORT, [page.tile[1]]),
            323: (SHORT, [page.tile[0]]),
            324: (extent, offsets),
            325: (extent, counts),
        }
    else:
        tags |= {273: (extent, offsets), 278: (LONG, [page.strip or height]), 279: (extent, counts)}
    if subs:
        tags[330] = (extent, subs)
    tags |= page.tags
    pointer, room = ("Q", 8) if big else ("I", 4)
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        if kind == RATIONAL:
            packed = struct.pack(f"{order}{len(values)}I", *values)
            length = len(values) // 2
        else:
            packed, length = struct.pack(f"{order}{len(values)}{_CODES[kind]}", *values), len(values)
        if len(packed) > room:
            body += b"\0" * (len(body) % 2)
            where = len(body)
            body += packed
            packed = struct.pack(order + pointer, where)
        entries += struct.pack(f"{order}HH{pointer}", tag, kind, length) + packed.ljust(room, b"\0")
    body += b"\0" * (len(body) % 2)
    start = len(body)
    body += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
    body += bytes(room)
    return start, len(body) - room


def _pieces(page: Page) -> list[Array]:
    """Pieces as [rows, columns, samples], tiles padded to their full size by the last row and column."""
    planes = [page.samples[..., n : n + 1] for n in range(page.samples.shape[2])] if page.planar else [page.samples]
    made = []
    for plane in planes:
        height, width, _ = plane.shape
        if page.tile:
            high, wide = page.tile
            padded = np.pad(plane, ((0, -height % high), (0, -width % wide), (0, 0)), "edge")
            made += [
                padded[top : top + high, left : left + wide]
                for top in range(0, padded.shape[0], high)
                for left in range(0, padded.shape[1], wide)
            ]
        else:
            step = page.strip or height
            made += [plane[top : top + step] for top in range(0, height, step)]
    return made


def _encoded(piece: Array, page: Page, bits: int, order: str) -> bytes:
    if page.codec:
        return page.codec(piece)
    data = b"".join(_row(row, page.predictor, bits, order) for row in piece)
    return bytes(_PACK.get(page.compression, bytes)(data))


def _row(row: Array, predictor: int, bits: int, order: str) -> bytes:
    """Bytes of a row [columns, samples]."""
    columns, samples = row.shape
    if bits % 8 or bits < 8:
        places = np.arange(bits - 1, -1, -1)
        return np.packbits((row.reshape(-1, 1).astype(np.int64) >> places & 1).astype(np.uint8)).tobytes()
    size = bits // 8
    if predictor == 3:
        # Technical note 3: bytes by significance, then differences between bytes that are `samples` apart.
        significant = row.astype(f">f{size}").view(np.uint8).reshape(columns * samples, size).T.ravel()
        differences = significant.copy()
        differences[samples:] -= significant[:-samples]
        return differences.tobytes()
    if predictor == 2:
        whole = row.view(f"u{size}").copy()
        differences = whole.copy()
        differences[1:] -= whole[:-1]
        return differences.astype(f"{order}u{size}").tobytes()
    if size == 3:
        four = row.astype(f"{order}u4").view(np.uint8).reshape(-1, 4)
        return (four[:, :3] if order == "<" else four[:, 1:]).tobytes()
    return row.astype(f"{order}{row.dtype.kind}{size}").tobytes()
