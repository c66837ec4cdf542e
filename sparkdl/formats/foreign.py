"""Table of binary files that are recognized but not read as images: the name of each, and what to do about it.

Text is in `sparkdl.formats.text_payloads`, and images that were changed in transit are in `sparkdl.formats.mangled`.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

NameOf = Callable[[bytes], str | None]
"""Returns the name of the image format that the bytes begin with, or None."""

_CONVERT = "convert it to PNG or JPEG"
_RENDER = "draw it as PNG"
_DEVELOP = "develop it to JPEG"
_EXTRACT = "publish frames of it, each as PNG or JPEG"
_UNPACK = "unpack it and publish each image"
_DECOMPRESS = "decompress it first"
_ENCODE = "publish each image as PNG"
_REMOVE = "no image; remove it"
_INFLATED = 2048
_INFLATED_FROM = 4096
_TGA_FOOTER = b"TRUEVISION-XFILE.\0"


@dataclass(frozen=True, slots=True)
class Foreign:
    """One kind of file that is recognized but not read.

    Attributes
    ----------
    name
        The name of the kind, the beginning of the detail of a rejection.
    signature
        A pattern that matches at byte `at`.
    advice
        What to do, in the imperative.
    at
        The offset of the signature.
    """

    name: str
    signature: re.Pattern[bytes]
    advice: str
    at: int = 0


def _kind(name: str, signature: bytes, advice: str, at: int = 0) -> Foreign:
    return Foreign(name, re.compile(signature, re.DOTALL), advice, at)


FOREIGN = (
    # images
    _kind("JPEG XL", rb"\x00\x00\x00\x0cJXL \r\n\x87\n", _CONVERT),
    _kind("JPEG XL codestream", rb"\xff\x0a", _CONVERT),
    _kind("JPEG 2000", rb"\x00\x00\x00\x0cjP  \r\n\x87\n", _CONVERT),
    _kind("JPEG 2000 codestream", rb"\xff\x4f\xff\x51", _CONVERT),
    _kind("JPEG XR", rb"II\xbc", _CONVERT),
    _kind(
        "HEIF image of a codec that is not read",
        rb".{4}ftyp(?:mif[12]|msf1|miaf|unif|j2ki|avci|avcs|vvic|jpeg)",
        _CONVERT,
    ),
    _kind("Photoshop document", rb"8BPS\x00[\x01\x02]", _CONVERT),
    _kind("GIMP image", rb"gimp xcf ", _CONVERT),
    _kind("Windows icon", rb"\x00\x00[\x01\x02]\x00[\x01-\xff]\x00", _CONVERT),
    _kind("Apple icon", rb"icns", _CONVERT),
    _kind("OpenEXR image", rb"v/1\x01", _CONVERT),
    _kind("Radiance HDR image", rb"#\?(?:RADIANCE|RGBE)\n", _CONVERT),
    _kind("Netpbm image", rb"P[1-7f-gF-G]\s[\s\d#W]", _CONVERT),
    _kind("QOI image", rb"qoif", _CONVERT),
    _kind("DirectDraw texture", rb"DDS \x7c\x00\x00\x00", _CONVERT),
    _kind("KTX texture", rb"\xabKTX [12][01]\xbb", _CONVERT),
    _kind("BPG image", rb"BPG\xfb", _CONVERT),
    _kind("FLIF image", rb"FLIF[1-d]", _CONVERT),
    _kind("MNG or JNG image", rb"[\x8a\x8b][MJ]NG\r\n\x1a\n", _CONVERT),
    _kind("PCX image", rb"\x0a[\x00-\x05]\x01[\x01\x02\x04\x08].{60}[\x00]", _CONVERT),
    _kind("Sun raster image", rb"\x59\xa6\x6a\x95", _CONVERT),
    _kind("SGI image", rb"\x01\xda[\x00\x01][\x01\x02]\x00[\x01-\x03]", _CONVERT),
    _kind("XPM image", rb"/\* XPM \*/", _CONVERT),
    _kind("DjVu document", rb"AT&TFORM", _RENDER),
    _kind("PDF document", rb"[\x00-\x20\xef\xbb\xbf]{0,16}%PDF-", _RENDER),
    _kind("PostScript document", rb"%!PS|\xc5\xd0\xd3\xc6", _RENDER),
    _kind("Windows metafile", rb"\xd7\xcd\xc6\x9a\x00\x00|\x01\x00\x00\x00.{36} EMF", _RENDER),
    # camera raw files that are not TIFF
    _kind("Canon CR3 raw photo", rb".{4}ftypcrx ", _DEVELOP),
    _kind("Canon CRW raw photo", rb"II\x1a\x00\x00\x00HEAPCCDR", _DEVELOP),
    _kind("Fujifilm RAF raw photo", rb"FUJIFILMCCD-RAW", _DEVELOP),
    _kind("Panasonic RW2 raw photo", rb"IIU\x00", _DEVELOP),
    _kind("Olympus ORF raw photo", rb"IIR[OS]|MMOR", _DEVELOP),
    _kind("Sigma X3F raw photo", rb"FOVb", _DEVELOP),
    _kind("Minolta MRW raw photo", rb"\x00MRM", _DEVELOP),
    # science
    _kind("DICOM file", rb"DICM", _CONVERT, at=128),
    _kind("FITS file", rb"SIMPLE  =", _CONVERT),
    _kind("NumPy array", rb"\x93NUMPY", _ENCODE),
    _kind("HDF5 file", rb"\x89HDF\r\n\x1a\n", _ENCODE),
    _kind("Parquet file", rb"PAR1", _ENCODE),
    _kind("Arrow file", rb"ARROW1", _ENCODE),
    _kind("Avro file", rb"Obj\x01", _ENCODE),
    _kind("Python pickle", rb"\x80[\x02-\x05][\x95\x8c\(\}\]cX].", _ENCODE),
    _kind(
        "serialized Java object", rb"\xac\xed\x00\x05", "publish the bytes of the image, with the byte array serializer"
    ),
    _kind("SQLite database", rb"SQLite format 3\x00", _REMOVE),
    # video and sound
    _kind("QuickTime movie", rb".{4}ftypqt  |.{4}(?:moov|wide|mdat)", _EXTRACT),
    _kind("MP4 video", rb".{4}ftyp", _EXTRACT),
    _kind("Matroska or WebM video", rb"\x1aE\xdf\xa3", _EXTRACT),
    _kind("AVI video", rb"RIFF.{4}AVI ", _EXTRACT),
    _kind("Flash video", rb"FLV\x01", _EXTRACT),
    _kind("Windows Media file", rb"0&\xb2u\x8ef\xcf\x11", _EXTRACT),
    _kind("MPEG video", rb"\x00\x00\x01[\xba\xb3]", _EXTRACT),
    _kind("MPEG transport stream", rb"G.{187}G.{187}G", _EXTRACT),
    _kind("WAV sound", rb"RIFF.{4}WAVE", _REMOVE),
    _kind("sound file", rb"ID3[\x02-\x04]|OggS\x00|fLaC|MThd|FORM.{4}AIF", _REMOVE),
    # archives and compressed files
    _kind("ZIP archive", rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", _UNPACK),
    _kind("tar archive", rb"ustar", _UNPACK, at=257),
    _kind("7z archive", rb"7z\xbc\xaf\x27\x1c", _UNPACK),
    _kind("RAR archive", rb"Rar!\x1a\x07", _UNPACK),
    _kind("cabinet archive", rb"MSCF\x00\x00\x00\x00", _UNPACK),
    _kind("xz file", rb"\xfd7zXZ\x00", _DECOMPRESS),
    _kind("bzip2 file", rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", _DECOMPRESS),
    _kind("Zstandard file", rb"[\x22-\x28\x50-\x5f]\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", _DECOMPRESS),
    _kind("LZ4 file", rb"\x04\x22\x4d\x18", _DECOMPRESS),
    _kind("Snappy file", rb"\xff\x06\x00\x00sNaPpY|\x82SNAPPY\x00", _DECOMPRESS),
    _kind("Unix compress file", rb"\x1f\x9d", _DECOMPRESS),
    # neither image nor container
    _kind("Office document", rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _REMOVE),
    _kind("font", rb"OTTO\x00|\x00\x01\x00\x00\x00[\x04-\x40]|wOF[F2]|true\x00|ttcf\x00", _REMOVE),
    _kind(
        "program", rb"\x7fELF|MZ.{58}\x00\x00|\xca\xfe\xba\xbe\x00\x00\x00|[\xce\xcf]\xfa\xed\xfe|\x00asm\x01", _REMOVE
    ),
    _kind("macOS folder settings", rb"\x00\x00\x00\x01Bud1", _REMOVE),
    _kind("AppleDouble file (the other half of a file of macOS)", rb"\x00\x05\x16[\x00\x07]", _REMOVE),
)
"""The table in order of precedence: the first match names the file."""

_GZIP, _ZLIB = b"\x1f\x8b\x08", re.compile(rb"\x78[\x01\x5e\x9c\xda]")


def foreign_detail(payload: bytes, name_of: NameOf) -> str | None:
    """Return what a payload is and what to do about it; None if it is not in the table."""
    if compressed := _compressed_detail(payload, name_of):
        return compressed
    for kind in FOREIGN:
        if kind.signature.match(payload, kind.at):
            return f"{kind.name}: {kind.advice}"
    # TGA has no signature at its beginning.
    return f"TGA image: {_CONVERT}" if payload.endswith(_TGA_FOOTER) else None


def _compressed_detail(payload: bytes, name_of: NameOf) -> str | None:
    """Describe a gzip or zlib stream and its content, from the first bytes that it inflates to."""
    is_gzip = payload.startswith(_GZIP)
    if not is_gzip and not _ZLIB.match(payload):
        return None
    try:
        begin = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(payload[:_INFLATED_FROM], _INFLATED)
    except zlib.error:
        return f"damaged gzip file: {_DECOMPRESS}" if is_gzip else None
    stream = "gzip" if is_gzip else "zlib"
    if name := name_of(begin):
        return f"{stream} of a {name} image: {_DECOMPRESS}"
    if b"<svg" in begin:
        return f"SVGZ, a compressed drawing: {_RENDER}"
    if begin[257:262] == b"ustar":
        return f"compressed tar archive: {_UNPACK}"
    return f"{stream} stream: {_DECOMPRESS}" if is_gzip or len(begin) > len(payload[:64]) else None
