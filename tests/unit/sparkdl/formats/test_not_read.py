"""What is recognised but not read: the detail says what it is and what to do, in one line without a word of Python."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import re
import struct
import tarfile
import time
import zipfile
import zlib

import numpy as np
import pytest
from pictures import RGB, SAMPLES, bmp, chunk, encode, flipped, png, rejected

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Reason, Rejected

PNG, JPEG, GIF = SAMPLES["PNG"], SAMPLES["JPEG"], SAMPLES["GIF"]
BASE64 = base64.b64encode(PNG)
OF_PYTHON = re.compile(r"\b\w+(?:Error|Exception|Warning)\b|\bNoneType\b|Traceback")


def archive() -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        member = tarfile.TarInfo("a.png")
        member.size = len(PNG)
        tar.addfile(member, io.BytesIO(PNG))
    return target.getvalue()


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("a.png", PNG)
    return target.getvalue()


def array() -> bytes:
    target = io.BytesIO()
    np.save(target, RGB)
    return target.getvalue()


def media(brand: bytes, *compatible: bytes) -> bytes:
    content = brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 8 + len(content)) + b"ftyp" + content + struct.pack(">I", 40) + b"free" + bytes(32)


SVG = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>'
CGBI = PNG[:8] + chunk(b"CgBI", b"\x50\x00\x20\x02") + PNG[8:]
JPEG_LS = b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB", 11, 8, 24, 40, 1) + b"\1\x11\0\xff\xda" + bytes(20) + b"\xff\xd9"

KINDS: dict[str, tuple[bytes, str, str]] = {
    # payload, what the detail begins with, what it says to do
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40), "JPEG XL", "convert"),
    "JPEG XL codestream": (b"\xff\x0a" + bytes(40), "JPEG XL codestream", "convert"),
    "JPEG 2000": (encode(RGB, "JPEG2000"), "JPEG 2000", "convert"),
    "JPEG 2000 codestream": (encode(RGB, "JPEG2000", no_jp2=True), "JPEG 2000 codestream", "convert"),
    "JPEG-LS": (JPEG_LS, "JPEG-LS", "convert"),
    "CgBI": (CGBI, "PNG: Apple's CgBI variant", "publish the original"),
    "HEIF of H.264": (media(b"mif1", b"mif1", b"avci"), "HEIF image of a codec that is not read", "convert"),
    "PSD": (b"8BPS\0\1" + bytes(40), "Photoshop document", "convert"),
    "ICO": (encode(RGB, "ICO"), "Windows icon", "convert"),
    "TGA": (encode(RGB, "TGA"), "TGA image", "convert"),
    "PPM": (encode(RGB, "PPM"), "Netpbm image", "convert"),
    "OpenEXR": (b"v/1\1\2\0\0\0" + bytes(40), "OpenEXR image", "convert"),
    "Radiance": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n", "Radiance HDR image", "convert"),
    "SVG": (SVG, "SVG drawing", "draw it as PNG"),
    "SVG text": (b'\xef\xbb\xbf <svg width="9"></svg>', "SVG drawing", "draw it as PNG"),
    "SVGZ": (gzip.compress(SVG), "SVGZ", "draw it as PNG"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "PDF document", "draw it as PNG"),
    "DICOM": (bytes(128) + b"DICM" + bytes(40), "DICOM file", "convert"),
    "FITS": (b"SIMPLE  =                    T".ljust(80) + bytes(40), "FITS file", "convert"),
    "NumPy": (array(), "NumPy array", "publish each image as PNG"),
    "Parquet": (b"PAR1" + bytes(40) + b"PAR1", "Parquet file", "publish each image as PNG"),
    "pickle": (b"\x80\x04\x95\x10\0\0\0\0\0\0\0" + bytes(40), "Python pickle", "publish each image as PNG"),
    "Java object": (b"\xac\xed\0\5ur\0\2[B" + PNG, "serialized Java object", "byte array serializer"),
    "CR3": (media(b"crx ", b"crx ", b"isom"), "Canon CR3 raw photo", "develop"),
    "RAF": (b"FUJIFILMCCD-RAW 0201" + bytes(40), "Fujifilm RAF raw photo", "develop"),
    "RW2": (b"IIU\0\x18\0\0\0" + bytes(40), "Panasonic RW2 raw photo", "develop"),
    "ORF": (b"IIRO\x08\0\0\0" + bytes(40), "Olympus ORF raw photo", "develop"),
    "MP4": (media(b"isom", b"isom", b"avc1"), "MP4 video", "publish frames of it"),
    "MOV": (media(b"qt  ", b"qt  "), "QuickTime movie", "publish frames of it"),
    "WebM": (b"\x1aE\xdf\xa3\x9fB\x86\x81\1" + bytes(40), "Matroska or WebM video", "publish frames of it"),
    "AVI": (b"RIFF\x24\0\0\0AVI LIST" + bytes(40), "AVI video", "publish frames of it"),
    "WAV": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "WAV sound", "remove it"),
    "ZIP": (zipped(), "ZIP archive", "unpack it"),
    "tar": (archive(), "tar archive", "unpack it"),
    "tar.gz": (gzip.compress(archive()), "compressed tar archive", "unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40), "7z archive", "unpack it"),
    "RAR": (b"Rar!\x1a\7\1\0" + bytes(40), "RAR archive", "unpack it"),
    "xz": (lzma.compress(PNG), "xz file", "decompress"),
    "bzip2": (bz2.compress(PNG), "bzip2 file", "decompress"),
    "Zstandard": (b"\x28\xb5\x2f\xfd\x24" + bytes(40), "Zstandard file", "decompress"),
    "gzip of PNG": (gzip.compress(PNG), "gzip of a PNG image", "decompress"),
    "zlib of JPEG": (zlib.compress(JPEG), "zlib of a JPEG image", "decompress"),
    "gzip of text": (gzip.compress(b"words " * 100), "gzip stream", "decompress"),
    "gzip, damaged": (b"\x1f\x8b\x08\0" + b"\xff" * 40, "damaged gzip file", "decompress"),
    "base64": (BASE64, "base64 text of a PNG image", "--message base64"),
    "base64 in lines": (base64.encodebytes(JPEG), "base64 text of a JPEG image", "--message base64"),
    "base64 for addresses": (base64.urlsafe_b64encode(JPEG), "base64 text of a JPEG image", "--message base64"),
    "base64 in quotes": (b'"' + BASE64 + b'"', "base64 text of a PNG image", "--message base64"),
    "base64 of WebP": (base64.b64encode(SAMPLES["WEBP"]), "base64 text of a WEBP image", "--message base64"),
    "base64 of AVIF": (base64.b64encode(SAMPLES["AVIF"]), "base64 text of a AVIF image", "--message base64"),
    "hexadecimal": (PNG.hex().encode(), "hexadecimal text of a PNG image", "publish the decoded bytes"),
    "bytea": (b"\\x" + JPEG.hex().encode(), "hexadecimal text of a JPEG image", "publish the decoded bytes"),
    "data URL": (b"data:image/png;base64," + BASE64, "data URL", "--message base64"),
    "bytes literal": (repr(PNG).encode(), "text of a Python bytes object", "publish the bytes"),
    "JSON": (json.dumps({"image": BASE64.decode()}).encode(), "JSON with a PNG image", "json:FIELD (here 'image')"),
    "JSON of a data URL": (
        json.dumps({"id": 7, "picture": f"data:image/png;base64,{BASE64.decode()}"}).encode(),
        "JSON with a PNG image",
        "json:FIELD (here 'picture')",
    ),
    "JSON without image": (b'{"error": "not found"}', "JSON:", "--message json:FIELD"),
    "CloudEvent": (
        json.dumps({"specversion": "1.0", "id": "1", "data_base64": BASE64.decode()}).encode(),
        "JSON of a CloudEvent",
        "--message cloudevents",
    ),
    "HTML": (b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>", "HTML page", "see what the address"),
    "S3 error": (b"<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code></Error>", "XML error message", "see what"),
    "XML": (b"<?xml version='1.0'?><note>no image</note>", "XML", "publish the bytes"),
    "URL": (b"https://example.org/a.png\n", "address of an image", "publish the bytes that are there"),
    "path": (b"/data/photos/IMG 0001.jpg", "path of an image", "publish the bytes of that file"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer", "git lfs pull"),
    "text": (b"not an image", "text", "publish the bytes of the image"),
    "UTF-16": ("not an image".encode("utf-16"), "text in UTF-16", "publish the bytes"),
    "Confluent, plain": (b"\0\0\0\0\x2a" + PNG, "Confluent wire format (schema 42) around a PNG image", "alone"),
    "Confluent, Avro": (b"\0\0\0\0\7\xb2\x1d" + JPEG, "Confluent wire format (schema 7) around a JPEG image", "alone"),
    "length before": (struct.pack("<I", len(GIF)) + GIF, "GIF image after 4 other bytes", "alone"),
    "CR LF to LF": (PNG.replace(b"\r\n", b"\n"), "PNG image whose line ends were changed (CR LF became LF)", "binary"),
    "LF to CR LF": (PNG.replace(b"\n", b"\r\n"), "PNG image whose line ends were changed (LF became CR LF)", "binary"),
    "7 bits": (bytes(byte & 127 for byte in PNG), "PNG image whose bytes were cut to 7 bits", "binary"),
    "PNG as UTF-8": (PNG.decode("utf-8", "replace").encode(), "image that was decoded as UTF-8 text", "not a string"),
    "JPEG as UTF-8": (JPEG.decode("utf-8", "replace").encode(), "image that was decoded as UTF-8", "not a string"),
    "PNG, latin-1": (PNG.decode("latin-1").encode(), "PNG image that was encoded as UTF-8", "not a string"),
    "JPEG, latin-1": (JPEG.decode("latin-1").encode(), "JPEG image that was encoded as UTF-8", "not a string"),
    "PNG in UTF-16": (PNG.decode("latin-1").encode("utf-16-le"), "PNG image in UTF-16", "not a string"),
    "12 bit JPEG": (
        JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "JPEG: lossy, 12 bits per sample",
        "convert",
    ),
    "hierarchical JPEG": (JPEG.replace(b"\xff\xc0\0\x11", b"\xff\xc5\0\x11"), "JPEG: hierarchical", "convert"),
    "BMP masks": (bmp(1, 1, bytes(4), (0xF, 0xF0, 0xF00, 0)), "BMP: masks F F0 F00 0 of 32 bits per pixel", "save"),
    "BMP of JPEG": (SAMPLES["BMP"][:30] + b"\4" + SAMPLES["BMP"][31:], "BMP: pixels compressed as JPEG", "save"),
    "BMP of 5 bits": (SAMPLES["BMP"][:28] + b"\5" + SAMPLES["BMP"][29:], "BMP: plain pixels of 5 bits", "save"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_read_is_named_with_what_to_do(kind: str) -> None:
    payload, begins, advice = KINDS[kind]
    refusal = rejected(payload)
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert refusal.detail.startswith(begins), refusal.detail
    assert advice in refusal.detail
    assert not refusal.detail.endswith("...")


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (png(4, 4, 8, 5, [b"\1\2\3" * 4] * 4), Reason.CORRUPT),
        (png(4, 4, 3, 2, [b"\1\2\3" * 4] * 4), Reason.CORRUPT),
        (GIF.decode("utf-8", "replace").encode(), Reason.CORRUPT),
    ],
    ids=["colour type", "depth", "GIF as UTF-8"],
)
def test_what_does_not_exist_is_corrupt(payload: bytes, reason: Reason) -> None:
    assert rejected(payload).reason in (reason, Reason.TRUNCATED)


def test_a_gif_that_was_decoded_as_text_is_told_from_one_that_was_damaged_otherwise() -> None:
    assert "decoded as UTF-8 text" in rejected(GIF.decode("utf-8", "replace").encode()).detail
    assert "encoded as UTF-8 text" in rejected(GIF.decode("latin-1").encode()).detail
    damaged = GIF.replace(b",\0\0\0\0", b"\x99\0\0\0\0", 1)
    assert "text" not in rejected(damaged).detail


def test_a_file_that_is_unknown_shows_how_it_begins() -> None:
    detail = rejected(b"\xfe\xdc\xba\x98" + bytes(100)).detail
    assert detail.startswith("expected one of PNG, JPEG, BMP, GIF, TIFF, WEBP, AVIF, HEIC; received bytes that begin")
    assert r"\xfe\xdc\xba\x98" in detail


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b" ",
        b"{",
        b'{"a": "',
        b"<",
        b"<!--",
        b"<!-- -->",
        b"<?xml ?>",
        b"A",
        b"A\n",
        b"0",
        b"a.png",
        b"\0",
        b"\xef\xbf\xbd",
        b"\xc3\x89",
        b"\0\0\0\x18ftypmif1",
        b"x:",
    ],
    ids=repr,
)
def test_the_largest_payload_is_told_as_fast_as_a_small_one(begin: bytes) -> None:
    payload = (begin * (32 * 2**20 // max(len(begin), 1)))[: 32 * 2**20] or b"\n" * 2**25
    start = time.process_time()
    assert isinstance(decode(payload), Rejected)
    assert time.process_time() - start < 0.5


def test_a_gzip_bomb_is_inflated_no_further_than_its_beginning() -> None:
    deflater = zlib.compressobj(9, wbits=31)
    bomb = b"".join(deflater.compress(bytes(2**20)) for _ in range(200)) + deflater.flush()
    start = time.process_time()
    assert rejected(bomb).detail.startswith("gzip stream")
    assert time.process_time() - start < 0.1


def damaged(payload: bytes, seed: int) -> list[bytes]:
    """Bits flipped, and cuts, of the header more than of the rest."""
    rng, made = np.random.default_rng(seed), []
    for number in range(40):
        end = min(len(payload), 120 if number % 2 else len(payload))
        position = int(rng.integers(end))
        made += [flipped(payload, position), payload[:position] + bytes(4) + payload[position + 4 :]]
        made += [payload[: int(rng.integers(1, len(payload)))]] if number % 8 == 0 else []
    return made


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_detail_speaks_python(sample: str) -> None:
    details = [
        refusal.detail
        for payload in damaged(SAMPLES[sample], seed=len(sample))
        if isinstance(refusal := decode(payload), Rejected)
    ]
    assert details
    assert [detail for detail in details if OF_PYTHON.search(detail)] == []
