"""libtiff as a codec of single strips: it sees a directory that this module writes, and only the strips of the file.

It decodes strips of LZW, PackBits, Zstandard, fax and JPEG into given memory. This module, not libtiff, handles byte
order, predictors, planes and the meaning of samples: for libtiff a strip is rows of bytes (of bits in a fax, of pixels
in a JPEG).
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparkdl.decoding.codecs.codec_output import LIBTIFF, capture_libtiff_errors
from sparkdl.formats.containers.tiff_directory import (
    BITS,
    COMPRESSION,
    FILL_ORDER,
    HEIGHT,
    JPEG_TABLES,
    PHOTOMETRIC,
    PLANAR,
    ROWS_PER_STRIP,
    SAMPLES,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    WIDTH,
)
from sparkdl.images.rejection import Reason, Refused

Bytes = npt.NDArray[np.uint8]

_BLACK_IS_ZERO, _SEPARATED, YCBCR = 1, 5, 6
_SHORT, _LONG, _UNDEFINED, _LONG8 = 3, 4, 7, 16
_JPEG_COLOR_MODE, _AS_RGB = 65538, 1
_READ_WITHOUT_MAPPING = b"rm"
_PAYLOAD_AT = 16  # the directory comes after the payload, so that offsets only shift by the length of the header
# On this platform, variable arguments are passed on the stack, after those in registers.
_BEFORE_VARIABLE = 6 if sys.platform == "darwin" and platform.machine() == "arm64" else 0
_OUT_OF_MEMORY = ("out of memory", "no space for", "failed to allocate", "unable to allocate")


@dataclass(frozen=True, slots=True)
class Strips:
    """Strips of one plane, as described to libtiff.

    Attributes
    ----------
    width
        Width of a row: pixels of a JPEG, bits of a fax, otherwise bytes.
    height, rows
        Total rows, and rows per strip.
    samples
        1, or the samples per pixel of a JPEG.
    bits
        8, or 1 in a fax.
    is_ycbcr
        Whether a JPEG is to be converted to RGB.
    reversed_bits
        Whether the lowest bit of a byte comes first.
    options
        The tag T4Options or T6Options of a fax.
    tables
        The tag JPEGTables.
    offsets, counts
        Offset of each strip in the payload, and its length in bytes.
    """

    compression: int
    width: int
    height: int
    rows: int
    samples: int
    bits: int
    is_ycbcr: bool
    reversed_bits: bool
    options: dict[int, int]
    tables: bytes
    offsets: npt.NDArray[np.uint64]
    counts: npt.NDArray[np.uint64]


def is_configured(compression: int) -> bool:
    """Return whether Pillow's libtiff supports this compression."""
    return LIBTIFF is not None and bool(LIBTIFF.TIFFIsCODECConfigured(compression))


@contextmanager
def open_strips(payload: bytes, strips: Strips, *, strict: bool) -> Iterator[StripReader]:
    """Open the strips of a payload for reading.

    Parameters
    ----------
    strict
        Whether libtiff's warnings count as damage.

    Raises
    ------
    Refused
        As corrupt, for any error of libtiff; also from `StripReader.read`.
    """
    assert LIBTIFF is not None  # the caller has checked `is_configured`
    with capture_libtiff_errors(warnings_too=strict) as errors:
        opened = _open.add(_File(payload, _header(payload, strips)))
        handle = LIBTIFF.TIFFClientOpen(b"TIFF", _READ_WITHOUT_MAPPING, opened, *_CALLBACKS)
        try:
            if not handle:
                _raise(errors, failed=True)
            errors.clear()  # warnings about this module's own directory only concern tags that it omits
            if strips.is_ycbcr:
                padding = (ctypes.c_int(0),) * _BEFORE_VARIABLE
                LIBTIFF.TIFFSetField(handle, _JPEG_COLOR_MODE, *padding, ctypes.c_int(_AS_RGB))
            yield StripReader(handle, errors)
        finally:
            if handle:
                LIBTIFF.TIFFClose(handle)
            _open.remove(opened)


class StripReader:
    """Reader of strips; see `open_strips`."""

    def __init__(self, handle: int, errors: list[str]) -> None:
        self._handle, self._errors = handle, errors
        self._size = int(LIBTIFF.TIFFStripSize(handle)) if LIBTIFF else 0

    def read(self, index: int, size: int) -> Bytes:
        """Return the first `size` bytes of a strip; raise `Refused` if it has fewer or is damaged."""
        assert LIBTIFF is not None
        if size > self._size:
            raise Refused(Reason.CORRUPT, f"TIFF: strip {index} has {self._size} bytes, expected {size}")
        into = np.empty(size, np.uint8)
        got = LIBTIFF.TIFFReadEncodedStrip(self._handle, index, into.ctypes.data, size)
        _raise(self._errors, failed=got != size)
        return into


def _raise(errors: list[str], *, failed: bool) -> None:
    if not errors and not failed:
        return
    message = errors[0] if errors else "a strip or tile is shorter than its rows"
    if any(part in message.lower() for part in _OUT_OF_MEMORY):
        raise MemoryError
    raise Refused(Reason.CORRUPT, f"TIFF: {message}")


def _header(payload: bytes, strips: Strips) -> tuple[bytes, bytes]:
    """Return the bytes before and after the payload: the header of a BigTIFF, and its directory."""
    count = len(strips.offsets)
    photometric = YCBCR if strips.is_ycbcr else _SEPARATED if strips.samples == 4 else _BLACK_IS_ZERO
    if strips.samples == 3 and not strips.is_ycbcr:
        photometric = 2
    tags: dict[int, tuple[int, int, bytes]] = {
        WIDTH: (_LONG, 1, struct.pack("=I", strips.width)),
        HEIGHT: (_LONG, 1, struct.pack("=I", strips.height)),
        BITS: (_SHORT, strips.samples, struct.pack("=H", strips.bits) * strips.samples),
        COMPRESSION: (_SHORT, 1, struct.pack("=H", strips.compression)),
        PHOTOMETRIC: (_SHORT, 1, struct.pack("=H", photometric)),
        FILL_ORDER: (_SHORT, 1, struct.pack("=H", 2 if strips.reversed_bits else 1)),
        STRIP_OFFSETS: (_LONG8, count, (strips.offsets + np.uint64(_PAYLOAD_AT)).tobytes()),
        SAMPLES: (_SHORT, 1, struct.pack("=H", strips.samples)),
        ROWS_PER_STRIP: (_LONG, 1, struct.pack("=I", strips.rows)),
        STRIP_COUNTS: (_LONG8, count, np.ascontiguousarray(strips.counts).tobytes()),
        PLANAR: (_SHORT, 1, struct.pack("=H", 1)),
        **{tag: (_LONG, 1, struct.pack("=I", value)) for tag, value in strips.options.items()},
    }
    if strips.tables:
        tags[JPEG_TABLES] = (_UNDEFINED, len(strips.tables), strips.tables)
    start = _PAYLOAD_AT + len(payload)
    start += -start % 8
    behind = start + 8 + 20 * len(tags) + 8
    directory, values = struct.pack("=Q", len(tags)), b""
    for tag, (kind, number, data) in sorted(tags.items()):
        if len(data) > 8:
            data, values = struct.pack("=Q", behind + len(values)), values + data + b"\0" * (-len(data) % 8)
        directory += struct.pack("=HHQ8s", tag, kind, number, data)
    order = b"II" if sys.byteorder == "little" else b"MM"
    before = order + struct.pack("=HHHQ", 43, 8, 0, start)
    padding = b"\0" * (start - _PAYLOAD_AT - len(payload))
    return before, padding + directory + struct.pack("=Q", 0) + values


# --- the file that libtiff reads: its client functions ------------------------------------------------------------


@dataclass(slots=True)
class _File:
    payload: bytes
    around: tuple[bytes, bytes]
    position: int = 0
    parts: list[tuple[int, Bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        before, after = self.around
        starts = (0, _PAYLOAD_AT, _PAYLOAD_AT + len(self.payload))
        for start, part in zip(starts, (before, self.payload, after), strict=True):
            self.parts.append((start, np.frombuffer(part, np.uint8)))

    @property
    def size(self) -> int:
        start, last = self.parts[-1]
        return start + len(last)

    def read(self, into: int, size: int) -> int:
        done = 0
        for start, part in self.parts:
            at = self.position - start
            if 0 <= at < len(part) and done < size:
                count = min(size - done, len(part) - at)
                ctypes.memmove(into + done, part.ctypes.data + at, count)
                done, self.position = done + count, self.position + count
        return done


class _Open:
    """Open files, by the number that libtiff passes to its client functions."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}

    def add(self, file: _File) -> int:
        number = id(file)
        self._files[number] = file
        return number

    def remove(self, number: int) -> None:
        del self._files[number]

    def __getitem__(self, number: int) -> _File:
        return self._files[number]


_open = _Open()
_SEEK_CUR, _SEEK_END = 1, 2


def _read(number: int, into: int, size: int) -> int:
    return _open[number].read(into, size)


def _write(number: int, data: int, size: int) -> int:
    return 0


def _seek(number: int, offset: int, whence: int) -> int:
    file = _open[number]
    base = file.position if whence == _SEEK_CUR else file.size if whence == _SEEK_END else 0
    file.position = (base + offset) % (1 << 64)
    return file.position


def _close(number: int) -> int:
    return 0


def _size(number: int) -> int:
    return _open[number].size


def _map(number: int, base: Any, size: Any) -> int:
    return 0


def _unmap(number: int, base: int, size: int) -> None:
    return


_P, _N, _U = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_uint64
# Created once: a decoder must not make memory executable, which new callbacks may need.
_FUNCTIONS = (
    ctypes.CFUNCTYPE(_N, _P, _P, _N)(_read),
    ctypes.CFUNCTYPE(_N, _P, _P, _N)(_write),
    ctypes.CFUNCTYPE(_U, _P, _U, ctypes.c_int)(_seek),
    ctypes.CFUNCTYPE(ctypes.c_int, _P)(_close),
    ctypes.CFUNCTYPE(_U, _P)(_size),
    ctypes.CFUNCTYPE(ctypes.c_int, _P, _P, _P)(_map),
    ctypes.CFUNCTYPE(None, _P, _P, _U)(_unmap),
)
_CALLBACKS = tuple(ctypes.cast(function, ctypes.c_void_p) for function in _FUNCTIONS)
