"""Samples of a TIFF: from strips and tiles of any compression to one array."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkdl.decoding.codecs.libtiff import Bytes, Strips, is_configured, open_strips
from sparkdl.decoding.codecs.tiff_kinds import Kind
from sparkdl.decoding.codecs.tiff_tables import ADVICE, COMPRESSIONS, Codec, Colour
from sparkdl.formats.containers.structure import reject_corrupt, reject_unsupported
from sparkdl.formats.containers.tiff import Layout
from sparkdl.formats.containers.tiff_directory import JPEG_TABLES, T4_OPTIONS, T6_OPTIONS, Directory

Array = npt.NDArray[Any]
ReadPiece = Callable[[int, int], Bytes]
"""Returns the given number of bytes of a piece, by its number in the plane; raises `Refused`."""

_BGR = (2, 1, 0)
_CHUNK = 1 << 18  # samples unpacked at once
_LZMA_MEMORY = 96 * 2**20  # xz -9 needs 65 MiB


def read_samples(payload: bytes, directory: Directory, layout: Layout, kind: Kind) -> Array:
    """Return the used samples: [height, width, samples], in the machine's byte order.

    The order of samples is B, G, R for RGB, otherwise that of the file, followed by alpha if there is one. Samples of
    up to 8 bits are uint8, not scaled; samples of up to 16 bits are uint16; all others have the type of the file.

    Raises `Refused` if a strip or tile is damaged.
    """
    kept = [*(_BGR if kind.colour is Colour.RGB else range(kind.colours))]
    kept += [] if kind.alpha is None else [kind.alpha]
    samples = np.empty((layout.height, layout.width, len(kept)), stored_type(kind))
    if kind.subsampling != (1, 1):
        _read_subsampled(payload, directory, layout, kind, samples)
    elif layout.planes == 1:
        _read_plane(
            payload, directory, layout, kind, 0, [(samples, place, source) for place, source in enumerate(kept)]
        )
    else:
        for place, plane in enumerate(kept):
            _read_plane(payload, directory, layout, kind, plane, [(samples, place, 0)])
    return samples


def stored_type(kind: Kind) -> np.dtype[Any]:
    """Return the type in which samples are stored."""
    if kind.number == "u":
        return np.dtype(np.uint8 if kind.bits <= 8 else np.uint16 if kind.bits <= 16 else f"u{kind.bits // 8}")
    return np.dtype(f"{kind.number}{kind.bits // 8}")


def _read_plane(
    payload: bytes,
    directory: Directory,
    layout: Layout,
    kind: Kind,
    plane: int,
    targets: list[tuple[Array, int, int]],
) -> None:
    samples = 1 if layout.planes > 1 else kind.samples
    row_bytes = (layout.piece_width * samples * kind.bits + 7) // 8
    step = max(_CHUNK // (layout.piece_width * samples), 1)
    with _open_plane(payload, directory, layout, kind, plane, row_bytes) as read:
        for index in range(layout.across * layout.down):
            top = index // layout.across * layout.piece_height
            left = index % layout.across * layout.piece_width
            height = min(layout.piece_height, layout.height - top)
            width = min(layout.piece_width, layout.width - left)
            # A tile also stores rows below the picture, which are not needed.
            rows = read(index, height * row_bytes).reshape(height, row_bytes)
            for start in range(0, height, step):
                values = _values(rows[start : start + step], layout.piece_width, samples, kind, directory.order)
                below = top + start
                for target, place, source in targets:
                    target[below : below + len(values), left : left + width, place] = values[:, :width, source]


# --- codecs ------------------------------------------------------------------------------------------------------


@contextmanager
def _open_plane(
    payload: bytes, directory: Directory, layout: Layout, kind: Kind, plane: int, row_bytes: int
) -> Iterator[ReadPiece]:
    pieces = layout.across * layout.down
    mine = slice(plane * pieces, (plane + 1) * pieces)
    offsets, counts = layout.offsets[mine], layout.counts[mine]
    if kind.codec in _DECODERS:
        view = memoryview(payload)
        decode = _DECODERS[kind.codec]

        def read(index: int, size: int) -> Bytes:
            start = int(offsets[index])
            return _checked(decode(view[start : start + int(counts[index])], size), index, size, kind)

        yield read
        return
    if not is_configured(kind.compression):
        name = COMPRESSIONS[kind.compression].name
        reject_unsupported(f"TIFF: {name} compression, which this build of Pillow lacks; {ADVICE}")
    is_jpeg, is_fax = kind.codec is Codec.JPEG, kind.codec is Codec.FAX
    strips = Strips(
        compression=kind.compression,
        width=layout.piece_width if is_jpeg or is_fax else row_bytes,
        height=layout.piece_height * pieces if layout.is_tiled else layout.height,
        rows=layout.piece_height,
        samples=kind.samples if is_jpeg and layout.planes == 1 else 1,
        bits=1 if is_fax else 8,
        is_ycbcr=is_jpeg and kind.colour is Colour.YCBCR,
        reversed_bits=kind.reversed_bits,
        options={tag: directory.first(tag) for tag in (T4_OPTIONS, T6_OPTIONS) if tag in directory.numbers},
        tables=directory.raw.get(JPEG_TABLES, b"") if is_jpeg else b"",
        offsets=offsets,
        counts=counts,
    )
    with open_strips(payload, strips, strict=is_jpeg or is_fax) as reader:
        yield reader.read


def _checked(data: bytes | memoryview, index: int, size: int, kind: Kind) -> Bytes:
    if len(data) < size:
        reject_corrupt(f"TIFF: strip or tile {index} has {len(data)} bytes, expected {size}")
    decoded = np.frombuffer(data, np.uint8, size)
    if kind.reversed_bits:
        decoded = np.packbits(np.unpackbits(decoded, bitorder="little"))
    return decoded


def _stored(data: memoryview, size: int) -> memoryview:
    return data[:size]


def _inflated(data: memoryview, size: int) -> bytes:
    """Inflate at most `size` bytes; raise `Refused` for a damaged code or checksum."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, size)
        # The checksum follows the last byte; bytes beyond `size` are not needed.
        if not inflater.eof and inflater.unconsumed_tail:
            inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error as error:
        reject_corrupt(f"TIFF: Deflate: {str(error).rpartition(': ')[2]}")
    return inflated


def _unxz(data: memoryview, size: int) -> bytes:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, _LZMA_MEMORY)
    try:
        plain = decompressor.decompress(data, size)
        if not decompressor.eof:
            decompressor.decompress(b"", 1)
    except lzma.LZMAError as error:
        if "memory" in str(error).lower():
            raise MemoryError("an LZMA strip needs too much memory") from error
        reject_corrupt(f"TIFF: LZMA: {error}")
    return plain


_DECODERS: dict[Codec, Callable[[memoryview, int], bytes | memoryview]] = {
    Codec.NONE: _stored,
    Codec.ZLIB: _inflated,
    Codec.LZMA: _unxz,
}


# --- rows of bytes to rows of samples ------------------------------------------------------------------------------


def _values(rows: Bytes, width: int, samples: int, kind: Kind, order: str) -> Array:
    """Return rows of bytes as [rows, width, samples] in the machine's byte order or that of the file."""
    count = width * samples
    if kind.bits < 8 or kind.bits % 8:
        return _unpacked(rows, count, kind.bits).reshape(-1, width, samples)
    size = kind.bits // 8
    if kind.predictor == 3:
        # The bytes are differences along the row, sorted by significance.
        summed = np.add.accumulate(rows.reshape(len(rows), -1, samples), axis=1, dtype=np.uint8)
        planes = summed.reshape(len(rows), size, count).transpose(0, 2, 1)
        return np.ascontiguousarray(planes).view(f">f{size}").reshape(-1, width, samples)
    rows = np.ascontiguousarray(rows)
    if kind.predictor == 2:
        native = rows.view(f"{order}u{size}").astype(f"=u{size}").reshape(-1, width, samples)
        return np.add.accumulate(native, axis=1, dtype=native.dtype).view(f"={kind.number}{size}")
    return rows.view(f"{order}{kind.number}{size}").reshape(-1, width, samples)


def _unpacked(rows: Bytes, count: int, bits: int) -> Array:
    """Unpack `count` samples per row of less than 8, or of 9 to 16 bits, highest bit first."""
    if bits == 1:
        return np.unpackbits(rows, axis=1, count=count)
    if bits < 8:
        per_byte = 8 // bits
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        spread = (rows[:, :, np.newaxis] >> shifts) & np.uint8((1 << bits) - 1)
        return spread.reshape(len(rows), rows.shape[1] * per_byte)[:, :count]
    starts = np.arange(count, dtype=np.int64) * bits
    first, shift = starts // 8, (24 - bits - starts % 8).astype(np.uint32)
    padded = np.pad(rows, ((0, 0), (0, 2)))
    wide = padded[:, first].astype(np.uint32) << 16
    wide |= padded[:, first + 1].astype(np.uint32) << 8
    wide |= padded[:, first + 2]
    return ((wide >> shift) & np.uint32((1 << bits) - 1)).astype(np.uint16)


def _read_subsampled(payload: bytes, directory: Directory, layout: Layout, kind: Kind, samples: Array) -> None:
    """Read YCbCr with chroma shared by blocks of pixels: each block has its Y values, then Cb and Cr."""
    across, down = kind.subsampling
    blocks = -(-layout.piece_width // across)
    unit = across * down + 2
    with _open_plane(payload, directory, layout, kind, 0, blocks * unit) as read:
        for index in range(layout.across * layout.down):
            top = index // layout.across * layout.piece_height
            left = index % layout.across * layout.piece_width
            height = min(layout.piece_height, layout.height - top)
            width = min(layout.piece_width, layout.width - left)
            high = -(-height // down)
            units = read(index, high * blocks * unit).reshape(high, blocks, unit)
            luma = units[..., :-2].reshape(high, blocks, down, across).transpose(0, 2, 1, 3)
            target = samples[top : top + height, left : left + width]
            target[..., 0] = luma.reshape(high * down, blocks * across)[:height, :width]
            for place in (1, 2):
                chroma = units[..., place - 3].repeat(down, axis=0).repeat(across, axis=1)
                target[..., place] = chroma[:height, :width]
