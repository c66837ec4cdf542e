"""PNG (ISO/IEC 15948): chunks of length, type, data and CRC-32, from IHDR to IEND.

Pixels depend on IHDR, PLTE, tRNS and IDAT. Damage in any other chunk does not reject a picture, and neither does
damage after pixel data that ends with its own checksum.
"""

from __future__ import annotations

import struct
import zlib

from sparkdl.formats.containers.orientation import decompressed, hexadecimal_profile, orientation_of
from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.png_chunks import SIGNATURE, Chunk, chunks, encoded
from sparkdl.formats.containers.png_data import data_size, is_sound
from sparkdl.formats.containers.structure import (
    CheckSize,
    reject_corrupt,
    reject_early_end,
    reject_truncated,
    reject_unsupported,
)
from sparkdl.formats.containers.variants import check_png, reject_cgbi
from sparkdl.images.rejection import Refused

# Each chunk takes the decoder some time, and a payload of maximum length can have millions of empty chunks.
_MAX_CHUNKS = 65_536
_END = encoded(b"IEND", b"")

_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_PALETTE = 3
_TRANSPARENCY_SAMPLES = {0: 1, 2: 3}
"""Samples of 16 bits in tRNS, by colour type; for a palette, tRNS has at most one byte per colour instead."""
_SIGNIFICANT_BITS_BYTES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Length of sBIT, by colour type."""
_XMP = b"XML:com.adobe.xmp\0"
_EXIF = b"Raw profile type exif\0"


def scan_png(payload: bytes, check_size: CheckSize) -> Picture:
    """Check the structure; return the chunks that pixels depend on, or the original file if it has no others."""
    parts = _Parts(payload, check_size)
    try:
        for number, chunk in enumerate(chunks(payload), 1):
            if number > _MAX_CHUNKS:
                reject_unsupported(f"PNG: more than {_MAX_CHUNKS} chunks")
            parts.add(chunk)
        parts.expect_end()
    except Refused:
        if not parts.breaks_off or not parts.has_sound_data():
            raise
        parts.is_plain = False
    if not parts.data or (parts.colour == _PALETTE and parts.palette is None):
        reject_corrupt(f"PNG: no {'palette' if parts.data else 'pixel data'}")
    return parts.picture()


def _name(kind: bytes) -> str:
    return kind.decode("latin-1")


class _Parts:
    """The chunks of one PNG that pixels depend on.

    Attributes
    ----------
    data
        The first run of IDAT; the last chunk may be incomplete.
    is_plain
        Whether there is nothing to leave out.
    breaks_off
        Whether the last chunk is incomplete, or is not a chunk.
    """

    header: Chunk | None = None
    palette: Chunk | None = None
    bits: Chunk | None = None
    transparency = b""
    depth = colour = 0
    is_plain = True
    breaks_off = False
    _is_data_over = _ended = False

    def __init__(self, payload: bytes, check_size: CheckSize) -> None:
        self.payload, self.view, self.check_size = payload, memoryview(payload), check_size
        self.data: list[Chunk] = []
        self.metadata: list[Chunk] = []

    def add(self, chunk: Chunk) -> None:
        kind, start, stop, end = chunk
        if not kind.isalpha():
            self.breaks_off = True
            reject_corrupt(f"PNG: chunk type {kind!r}")
        if self.header is None and kind == b"CgBI":
            reject_cgbi()
        if self.header is None and (kind != b"IHDR" or stop - start != 13):
            reject_corrupt(f"PNG: expected IHDR of 13 bytes first, received {kind!r} of {stop - start}")
        if end > len(self.payload):
            self.breaks_off = True
            if kind == b"IDAT" and not self._is_data_over:
                self.data.append(chunk._replace(stop=min(stop, len(self.payload))))
            reject_early_end("PNG", self.payload, f"chunk {_name(kind)}", has_end=self.payload.endswith(_END))
        if zlib.crc32(self.view[start - 4 : stop]) != int.from_bytes(self.payload[stop:end], "big"):
            self._add_damaged(chunk)
        elif kind == b"IDAT":
            if self._is_data_over:
                self.is_plain = False
            else:
                self.data.append(chunk)
        elif kind == b"IEND":
            self._ended = True
        else:
            self._is_data_over = bool(self.data)
            self._add_intact(chunk)

    def expect_end(self) -> None:
        if not self._ended:
            self.breaks_off = True
            reject_truncated(f"PNG: {len(self.payload)} bytes, ends before IEND")

    def has_sound_data(self) -> bool:
        """Whether the pixel data is complete, including its checksum."""
        if self.header is None or not self.data:
            return False
        stream = (self.payload[chunk.start : chunk.stop] for chunk in self.data)
        return is_sound(stream, data_size(self.payload[self.header.start : self.header.stop]))

    def picture(self) -> Picture:
        orientation = self._orientation() if self.metadata else 1
        if self.is_plain:
            return Picture(self.payload, orientation)
        first, last = self.data[0], self.data[-1]
        if last.end <= len(self.payload):
            data = self.view[first.start - 8 : last.end]
        else:
            data = memoryview(encoded(b"IDAT", b"".join(self.view[part.start : part.stop] for part in self.data)))
        kept = (self.view[part.start - 8 : part.end] for part in (self.header, self.bits, self.palette) if part)
        return Picture(b"".join([SIGNATURE, *kept, self.transparency, data, _END]), orientation)

    def _add_damaged(self, chunk: Chunk) -> None:
        """Skip a chunk with a wrong checksum, unless pixels depend on it, or may have before its type was damaged."""
        right = int.from_bytes(self.view[chunk.stop : chunk.end], "big")
        self.breaks_off = chunk.kind == b"IEND"  # no pixel depends on it
        is_critical = chunk.kind[:1].isupper() or chunk.kind == b"tRNS"
        data = self.view[chunk.start : chunk.stop]
        if is_critical or any(zlib.crc32(data, zlib.crc32(kind)) == right for kind in (b"PLTE", b"tRNS", b"IDAT")):
            reject_corrupt(f"PNG: wrong checksum of chunk {_name(chunk.kind)}")
        self._is_data_over = bool(self.data)
        self.is_plain = False

    def _add_intact(self, chunk: Chunk) -> None:
        kind, length = chunk.kind, chunk.stop - chunk.start
        if kind == b"IHDR":
            if self.header is not None:
                reject_corrupt("PNG: a second IHDR")
            self.header = chunk
            self.check_size(*struct.unpack_from(">II", self.payload, chunk.start))
            check_png(self.payload)
            self.depth, self.colour = self.payload[chunk.start + 8], self.payload[chunk.start + 9]
        elif kind == b"PLTE" and self.colour == _PALETTE and not self.data:
            if self.palette is not None or not 0 < length <= 768 or length % 3:
                reject_corrupt(f"PNG: {'a second palette' if self.palette else f'palette of {length} bytes'}")
            self.palette = chunk
        elif kind == b"tRNS" and not self.data and not self.transparency:
            self.transparency = self._transparency(self.payload[chunk.start : chunk.stop])
            self.is_plain = self.is_plain and self.transparency == self.view[chunk.start - 8 : chunk.end]
        elif kind == b"sBIT" and not self.data and length == _SIGNIFICANT_BITS_BYTES.get(self.colour):
            self.is_plain = self.is_plain and self.bits is None
            self.bits = self.bits or chunk
        elif kind[:1].isupper() and kind not in _CRITICAL:
            reject_unsupported(f"PNG: chunk {_name(kind)}, which pixels depend on, is of an unknown kind")
        else:
            self.is_plain = False
            if kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                self.metadata.append(chunk)

    def _transparency(self, data: bytes) -> bytes:
        """Return a tRNS chunk with the significant bits; b"" if its length is invalid, as in libpng."""
        if self.colour == _PALETTE:
            colours = (self.palette.stop - self.palette.start) // 3 if self.palette else 0
            return encoded(b"tRNS", data) if 0 < len(data) <= colours else b""
        samples = _TRANSPARENCY_SAMPLES.get(self.colour, 0)
        if not samples or len(data) != 2 * samples:
            return b""
        mask = (1 << self.depth) - 1
        values = struct.unpack(f">{samples}H", data)
        return encoded(b"tRNS", struct.pack(f">{samples}H", *(value & mask for value in values)))

    def _orientation(self) -> int:
        exifs: list[bytes] = []
        profiles: list[bytes] = []
        xmps: list[bytes] = []
        for chunk in self.metadata:
            data = self.payload[chunk.start : chunk.stop]
            if chunk.kind == b"eXIf":
                exifs.append(data)
            elif chunk.kind == b"tEXt" and data.startswith(_EXIF):
                profiles.append(hexadecimal_profile(data[len(_EXIF) :]))
            elif chunk.kind == b"zTXt" and data.startswith(_EXIF):
                profiles.append(hexadecimal_profile(decompressed(data[len(_EXIF) + 1 :])))
            elif chunk.kind == b"iTXt" and data.startswith(_XMP):
                # Next: compression flag and method, then language and translated keyword, each terminated by a zero.
                text = data[len(_XMP) + 2 :].split(b"\0", 2)[-1]
                xmps.append(decompressed(text) if data[len(_XMP) :].startswith(b"\1") else text)
        return orientation_of([*exifs, *profiles], xmps)
