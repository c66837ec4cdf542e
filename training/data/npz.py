"""Labelled images from a NumPy `.npz` file: pixels in `x`, labels in `y`, optionally the name of a subset in `set`.

Files are untrusted: nothing is unpickled, and the declared sizes are checked before any array is read. A file may have
at most `MAX_IMAGES` images and `MAX_BYTES` bytes of arrays.
"""

from __future__ import annotations

import io
import lzma
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from sparkdl.errors import RequestError
from sparkdl.images.labels import MAX_LABEL_LENGTH
from training.data.dataset import BAD_LABEL, Dataset, LabelledImage
from training.data.names import valid, valid_label

SUFFIX = ".npz"
MAX_BYTES = 2**30
"""Maximum decompressed bytes of pixels, labels and subset names together."""
MAX_IMAGES = 1_000_000
_MAX_DIRECTORY_BYTES = 2**20  # the archive's central directory; each of its entries costs memory when it is opened
_CHUNK = 2**22  # bytes of text read at a time
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, LookupError, ValueError, NotImplementedError, RuntimeError),
)
"""The errors of `zipfile` for files that are truncated, damaged, encrypted or compressed with another method."""
_SUBSET = re.compile(r"\w[\w.-]*")
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""PNG colour types by the number of channels: gray, RGB, RGBA."""
_STORED_BLOCK = 0xFFFF
_END, _END_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6"
"""The end record of an archive's central directory; its sixth number is the directory's length in bytes."""
_LOCATOR = b"PK\6\7"  # of the ZIP64 end record, for archives of more than 65,535 members or 2 GiB


@dataclass(frozen=True)
class _Header:
    """The type and shape that an array's header declares."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    stored: int
    """Bytes after the header, as the archive declares."""

    @property
    def images(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """Bytes after the header, as shape and dtype declare."""
        size = self.dtype.itemsize
        for side in self.shape:
            size *= side
        return size

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


def read_npz(address: str, path: Path, *, require_labels: bool) -> Dataset:
    """Read the images of `x` with the labels of `y`, encoded as uncompressed PNG files.

    An image's name is `<file stem>/<index>.png`, or `<file stem>/<set>/<index>.png` if there is an array `set`. The
    same arrays give the same bytes on every machine.

    Raises
    ------
    RequestError
        If the file is not an .npz file, or an array is missing or has the wrong type, shape or size.
    """
    try:
        with path.open("rb") as file:
            _check_list(file)
            with zipfile.ZipFile(file) as archive:
                x, y, subsets = _read(archive)
    except RequestError as error:
        raise RequestError(f"{address}: {error}") from error
    except OSError as error:
        raise RequestError(f"{address}: cannot be read: {error.strerror or error}") from error
    except _BROKEN as error:
        raise RequestError(f"{address}: expected a NumPy .npz file, received a damaged or different file") from error

    stem, width = valid(path.stem), max(5, len(str(len(y) - 1)))
    images, problems = [], []
    for index, label in enumerate(map(valid_label, y)):
        name = f"{stem}/{subsets[index]}/{index:0{width}d}.png" if subsets else f"{stem}/{index:0{width}d}.png"
        if (require_labels and not label) or len(label) > MAX_LABEL_LENGTH:
            problems.append(f"{name}: {BAD_LABEL if label else 'it has no label'}")
        else:
            images.append(LabelledImage(name, label, payload=_png(x[index])))
    return Dataset(address, tuple(images), tuple(problems))


def _check_list(file: BinaryIO) -> None:
    """Refuse an archive with a long central directory, located as `zipfile` does, before `zipfile` parses it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 0xFFFF - len(_LOCATOR) - _END.size - 16))
    tail = file.read()
    file.seek(0)
    at = len(tail) - _END.size
    if at < 0 or not (tail.startswith(_END_MARK, at) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        return  # not an archive; `zipfile` will say so
    length = _END.unpack_from(tail, at)[5]
    if length > _MAX_DIRECTORY_BYTES or tail[max(0, at - 20) : at].startswith(_LOCATOR):
        raise RequestError(
            "expected an archive of a few arrays, received one with a central directory of more than "
            f"{_MAX_DIRECTORY_BYTES} bytes"
        )


def _read(archive: zipfile.ZipFile) -> tuple[NDArray[np.uint8], list[str], list[str]]:
    """Return uint8 [n, height, width, channels], n labels, and n names of subsets or an empty list."""
    names = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    if missing := {"x", "y"} - names:
        raise RequestError(
            f"it has no array {' and no array '.join(sorted(missing))}; expected x, the images, and y, their labels"
        )
    headers = {name: _header(archive, name) for name in ("x", "y", "set") if name in names}
    _check_pixels(headers["x"])
    for name in headers.keys() - {"x"}:
        _check_words(name, headers[name], headers["x"])
    declared = sum(header.size for header in headers.values())
    if declared > MAX_BYTES:
        raise RequestError(
            f"at most {MAX_BYTES} bytes are read from one file, its arrays {', '.join(headers)} declare {declared}"
        )
    for name, header in headers.items():
        if header.stored != header.size:
            raise _contradiction(name, header)
    x = _array(archive, "x", headers["x"])
    return (
        x.reshape(*x.shape[:3], -1),
        _words(archive, "y", headers["y"]),
        _check_subsets(_words(archive, "set", headers["set"])) if "set" in headers else [],
    )


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(f"{name}.npy") as member:
        try:
            if npy.read_magic(member) != (1, 0):  # later versions allow headers of any length, for structured arrays
                raise ValueError("its header has another version")
            shape, fortran_order, dtype = npy.read_array_header_1_0(member)
            begin = member.tell()
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise RequestError(f"array {name} does not have the header that NumPy writes for plain arrays") from error
    if dtype.hasobject or any(side < 0 for side in shape):
        raise RequestError(f"array {name} contains Python objects, which are not loaded because they could run code")
    return _Header(shape, dtype, fortran_order, archive.getinfo(f"{name}.npy").file_size - begin)


def _check_pixels(x: _Header) -> None:
    if x.dtype != np.uint8 or not (len(x.shape) == 3 or (len(x.shape) == 4 and x.shape[3] in _COLOUR_TYPES)):
        raise RequestError(
            f"array x: expected uint8 [n, height, width] or [n, height, width, 1, 3 or 4 channels], received {x}"
        )
    if 0 in x.shape:
        raise RequestError(f"array x: expected at least one image and one pixel, received {x}")
    if x.images > MAX_IMAGES or x.size > MAX_BYTES:
        raise RequestError(
            f"array x: at most {MAX_IMAGES} images and {MAX_BYTES} bytes are read from one file, "
            f"it declares {x.images} and {x.size}"
        )


def _check_words(name: str, words: _Header, x: _Header) -> None:
    kinds = "iuU" if name == "y" else "U"
    if words.dtype.kind not in kinds or len(words.shape) != 1:
        expected = "whole numbers or strings" if name == "y" else "strings"
        raise RequestError(f"array {name}: expected {expected} [n], received {words}")
    if words.images != x.images:
        raise RequestError(f"array {name} has {words.images} entries, array x has {x.images} images")
    if words.dtype.kind == "U" and not 0 < words.dtype.itemsize <= 4 * MAX_LABEL_LENGTH:
        raise RequestError(f"array {name}: expected strings of 1 to {MAX_LABEL_LENGTH} characters, received {words}")


def _array(archive: zipfile.ZipFile, name: str, header: _Header) -> NDArray[Any]:
    (flat,) = _pieces(archive, name, header, max(1, header.size))
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")


def _pieces(archive: zipfile.ZipFile, name: str, header: _Header, max_bytes: int) -> Iterator[NDArray[Any]]:
    """Yield an array's entries in pieces of at most `max_bytes` bytes, or of one entry."""
    max_bytes = max(1, max_bytes // header.dtype.itemsize) * header.dtype.itemsize
    with archive.open(f"{name}.npy") as member:
        npy.read_magic(member)
        npy.read_array_header_1_0(member)
        left = header.size
        while left:
            content = member.read(min(max_bytes, left))
            if not content or len(content) % header.dtype.itemsize:
                raise _contradiction(name, header)
            left -= len(content)
            # Reading one more byte makes the archive verify its checksum.
            if not left and member.read(1):
                raise _contradiction(name, header)
            yield np.frombuffer(content, header.dtype)


def _contradiction(name: str, header: _Header) -> RequestError:
    return RequestError(f"array {name}: it declares {header}, but has more or fewer bytes")


def _words(archive: zipfile.ZipFile, name: str, header: _Header) -> list[str]:
    """Return the entries as text; equal entries share one object."""
    found: list[str] = []
    known: dict[str, str] = {}
    for piece in _pieces(archive, name, header, _CHUNK):
        if header.dtype.kind == "U" and piece.view(header.dtype.byteorder + "u4").max() > sys.maxunicode:
            raise RequestError(f"array {name}: expected strings, received invalid Unicode")
        found += (known.setdefault(word, word) for word in map(str, piece.tolist()))
    return found


def _check_subsets(names: list[str]) -> list[str]:
    for name in set(names):
        if not _SUBSET.fullmatch(name):
            raise RequestError(
                f"array set: expected names of letters, digits, '.', '-' and '_', received {valid(name)!r}"
            )
    return names


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG file of uint8 [height, width, channels], channels 1 (gray), 3 (RGB) or 4 (RGBA).

    Pixels are stored, not compressed, so that the bytes, and a dataset's digest, do not depend on the zlib version.
    """
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each row begins with its filter type: 0, none
    rows[:, 1:] = pixels.reshape(height, -1)
    raw = rows.tobytes()
    stored = [b"\x78\x01"]
    for start in range(0, len(raw), _STORED_BLOCK):
        block = raw[start : start + _STORED_BLOCK]
        last = start + _STORED_BLOCK >= len(raw)
        stored += (struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block)
    stored.append(struct.pack(">I", zlib.adler32(raw)))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", b"".join(stored)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))
