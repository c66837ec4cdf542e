"""Labelled images out of a `.npz` file of NumPy's: pixels in `x`, classes in `y`, perhaps a part's name in `set`.

A file comes from anywhere, so nothing in it is unpickled, and what it declares is looked at before it is read: no more
than `MOST_BYTES` of all arrays together and `MOST_IMAGES` images are.
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
from training.data.dataset import LONGEST_LABEL, NO_LABEL, Dataset, LabelledImage
from training.data.image_files import valid

SUFFIX = ".npz"
MOST_BYTES = 2**30
"""Of pixels, labels and names of parts together, decompressed."""
MOST_IMAGES = 1_000_000
_MOST_LISTED = 2**20  # bytes of the list of the archive's members, each of which costs memory as it is opened
_CHUNK = 2**22  # bytes of text that are read at a time
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, LookupError, ValueError, NotImplementedError, RuntimeError),
)
"""What `zipfile` raises for files that are cut, changed, encrypted or packed in another way."""
_PART = re.compile(r"\w[\w.-]*")
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""PNG's, by the number of channels: gray, RGB, RGBA."""
_STORED_BLOCK = 0xFFFF
_END, _END_MARK = struct.Struct("<4s4H2LH"), b"PK\5\6"
"""The end of an archive's list of members; its sixth number is how long that is."""
_LOCATOR = b"PK\6\7"  # of another such end, for archives of more than 65,535 members or 2 GiB


@dataclass(frozen=True)
class _Header:
    """What an array says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    stored: int
    """Bytes that follow the header, by what the archive says."""

    @property
    def images(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """In bytes, of what follows the header."""
        size = self.dtype.itemsize
        for side in self.shape:
            size *= side
        return size

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"


def read_arrays(address: str, path: Path, *, labelled: bool) -> Dataset:
    """The images of `x` with the labels of `y`, as PNG files that are made without compression.

    An image is called `<name of the file>/<its index>.png`, with the value of `set` between the two where there is
    one; two files of the same arrays give the same bytes on every machine.

    Raises
    ------
    RequestError
        If this is no .npz file, an array is missing, or is not of the right type, shape or size.
    """
    try:
        with path.open("rb") as file:
            _check_list(file)
            with zipfile.ZipFile(file) as archive:
                x, y, parts = _read(archive)
    except RequestError as error:
        raise RequestError(f"{address}: {error}") from error
    except OSError as error:
        raise RequestError(f"{address}: cannot be read: {error.strerror or error}") from error
    except _BROKEN as error:
        raise RequestError(f"{address}: expected an .npz file of NumPy's, received a broken or another one") from error

    stem, width = valid(path.stem), max(5, len(str(len(y) - 1)))
    images, problems = [], []
    for index, label in enumerate(map(valid, y)):
        name = f"{stem}/{parts[index]}/{index:0{width}d}.png" if parts else f"{stem}/{index:0{width}d}.png"
        if (labelled and not label) or len(label) > LONGEST_LABEL:
            problems.append(f"{name}: {NO_LABEL if label else 'it has no label'}")
        else:
            images.append(LabelledImage(name, label, payload=_png(x[index])))
    return Dataset(address, tuple(images), tuple(problems))


def _check_list(file: BinaryIO) -> None:
    """Refuse an archive whose list of members is long, as `zipfile` will find it, before it makes objects of it."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 0xFFFF - len(_LOCATOR) - _END.size - 16))
    tail = file.read()
    file.seek(0)
    at = len(tail) - _END.size
    if at < 0 or not (tail.startswith(_END_MARK, at) and tail.endswith(b"\0\0")):
        at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        return  # no archive, as will be said
    listed = _END.unpack_from(tail, at)[5]
    if listed > _MOST_LISTED or tail[max(0, at - 20) : at].startswith(_LOCATOR):
        raise RequestError(
            f"expected an archive of a few arrays, received one with a list of more than {_MOST_LISTED} bytes"
        )


def _read(archive: zipfile.ZipFile) -> tuple[NDArray[np.uint8], list[str], list[str]]:
    """uint8 [n, height, width, channels], n labels, and n names of parts or none."""
    names = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
    if missing := {"x", "y"} - names:
        raise RequestError(
            f"no array {' and no array '.join(sorted(missing))} in it; expected x, the images, and y, their labels"
        )
    headers = {name: _header(archive, name) for name in ("x", "y", "set") if name in names}
    _check_pixels(headers["x"])
    for name in headers.keys() - {"x"}:
        _check_words(name, headers[name], headers["x"])
    declared = sum(header.size for header in headers.values())
    if declared > MOST_BYTES:
        raise RequestError(
            f"at most {MOST_BYTES} bytes are read from one file, its arrays {', '.join(headers)} declare {declared}"
        )
    for name, header in headers.items():
        if header.stored != header.size:
            raise _contradiction(name, header)
    x = _array(archive, "x", headers["x"])
    return (
        x.reshape(*x.shape[:3], -1),
        _words(archive, "y", headers["y"]),
        _parts(_words(archive, "set", headers["set"])) if "set" in headers else [],
    )


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(f"{name}.npy") as member:
        try:
            if npy.read_magic(member) != (1, 0):  # later ones have headers of any length, for arrays of records
                raise ValueError("its header is of another version")
            shape, fortran_order, dtype = npy.read_array_header_1_0(member)
            begin = member.tell()
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
            raise RequestError(f"array {name} has no header that NumPy writes for plain arrays") from error
    if dtype.hasobject or any(side < 0 for side in shape):
        raise RequestError(f"array {name} holds Python objects, which are not read: they could run code")
    return _Header(shape, dtype, fortran_order, archive.getinfo(f"{name}.npy").file_size - begin)


def _check_pixels(x: _Header) -> None:
    if x.dtype != np.uint8 or not (len(x.shape) == 3 or (len(x.shape) == 4 and x.shape[3] in _COLOUR_TYPES)):
        raise RequestError(
            f"array x: expected uint8 [n, height, width] or [n, height, width, 1, 3 or 4 channels], received {x}"
        )
    if 0 in x.shape:
        raise RequestError(f"array x: expected at least one image and one pixel, received {x}")
    if x.images > MOST_IMAGES or x.size > MOST_BYTES:
        raise RequestError(
            f"array x: at most {MOST_IMAGES} images and {MOST_BYTES} bytes are read from one file, "
            f"it declares {x.images} and {x.size}"
        )


def _check_words(name: str, words: _Header, x: _Header) -> None:
    kinds = "iuU" if name == "y" else "U"
    if words.dtype.kind not in kinds or len(words.shape) != 1:
        expected = "whole numbers or strings" if name == "y" else "strings"
        raise RequestError(f"array {name}: expected {expected} [n], received {words}")
    if words.images != x.images:
        raise RequestError(f"array {name} has {words.images} entries, array x has {x.images} images")
    if words.dtype.kind == "U" and not 0 < words.dtype.itemsize <= 4 * LONGEST_LABEL:
        raise RequestError(f"array {name}: expected strings of 1 to {LONGEST_LABEL} characters, received {words}")


def _array(archive: zipfile.ZipFile, name: str, header: _Header) -> NDArray[Any]:
    (flat,) = _pieces(archive, name, header, max(1, header.size))
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")


def _pieces(archive: zipfile.ZipFile, name: str, header: _Header, most: int) -> Iterator[NDArray[Any]]:
    """An array's entries in pieces of at most `most` bytes, or of one entry."""
    most = max(1, most // header.dtype.itemsize) * header.dtype.itemsize
    with archive.open(f"{name}.npy") as member:
        npy.read_magic(member)
        npy.read_array_header_1_0(member)
        left = header.size
        while left:
            content = member.read(min(most, left))
            if not content or len(content) % header.dtype.itemsize:
                raise _contradiction(name, header)
            left -= len(content)
            # The byte more makes the archive compare its checksum.
            if not left and member.read(1):
                raise _contradiction(name, header)
            yield np.frombuffer(content, header.dtype)


def _contradiction(name: str, header: _Header) -> RequestError:
    return RequestError(f"array {name}: it declares {header}, and has more or fewer bytes than that")


def _words(archive: zipfile.ZipFile, name: str, header: _Header) -> list[str]:
    """The entries as text; those that are equal are one object."""
    found: list[str] = []
    known: dict[str, str] = {}
    for piece in _pieces(archive, name, header, _CHUNK):
        if header.dtype.kind == "U" and piece.view(header.dtype.byteorder + "u4").max() > sys.maxunicode:
            raise RequestError(f"array {name}: expected strings, received what is no Unicode")
        found += (known.setdefault(word, word) for word in map(str, piece.tolist()))
    return found


def _parts(parts: list[str]) -> list[str]:
    for part in set(parts):
        if not _PART.fullmatch(part):
            raise RequestError(
                f"array set: expected names of letters, digits, '.', '-' and '_', received {valid(part)!r}"
            )
    return parts


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """The PNG file of uint8 [height, width, channels], channels 1 (gray), 3 (RGB) or 4 (RGBA).

    Its pixels are stored, not compressed: so its bytes, and the digest of a data set, do not depend on a version of
    zlib.
    """
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # each begins with the number of its filter: none
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
