"""Renders the lists of formats in reference/formats.md: `python docs/formats.py [--check]`.

Each variant is a small picture that is made here and decoded, as a stream does it; what is read is compared with the
picture that it was made of. To add a variant, add a `Sample` to the list of its format.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from sparkdl.decoding.codecs.heif_pictures import MISSING
from sparkdl.decoding.codecs.heif_samples import HEIF_SAMPLES
from sparkdl.decoding.decode import decode
from sparkdl.formats.foreign import FOREIGN
from sparkdl.images.rejection import Rejected

Array = npt.NDArray[Any]
PAGE = Path(__file__).parent / "reference" / "formats.md"
WIDTH, HEIGHT = 64, 48
Y, X = np.mgrid[0:HEIGHT, 0:WIDTH]
COLOUR: Array = np.stack([X * 4, Y * 5, (X + Y) * 2], -1).astype(np.uint8)
GRAY: Array = (X * 4).astype(np.uint8)
BITS: Array = GRAY > 127
TOLERANCE = 48
"""Of a pixel: what palettes and lossy codecs change at most; a channel in the wrong place changes more."""


class Sample(NamedTuple):
    """A picture of one variant, and what it shows: None for one that is not compared."""

    format: str
    variant: str
    payload: bytes
    shows: Array | None


def encoded(picture: Array | Image.Image, image_format: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples: Array, depth: int, colour: int, *before: bytes) -> bytes:
    """A PNG of any depth, from samples of 8 bits [height, width, channels], of which the high bits count."""
    values = samples.reshape(HEIGHT, -1).astype(np.uint16)
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values * 257]
    else:
        planes = [(values >> (7 - bit)) & 1 for bit in range(depth)]
        rows = [row.tobytes() for row in np.packbits(np.stack(planes, -1).reshape(HEIGHT, -1).astype(bool), axis=1)]
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def translucent() -> Array:
    return np.dstack([COLOUR, np.full((HEIGHT, WIDTH), 255, np.uint8)])


def frames(picture: Array) -> dict[str, Any]:
    return {"save_all": True, "append_images": [Image.fromarray(255 - picture)]}


def turned(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def patched(payload: bytes, old: bytes, new: bytes) -> bytes:
    assert old in payload, old
    return payload.replace(old, new, 1)


def bits(depth: int) -> str:
    return f"{depth} bit{'s' * (depth > 1)}"


def png_samples() -> Iterator[Sample]:
    for depth in (1, 2, 4, 8, 16):
        yield Sample("PNG", f"gray of {bits(depth)}", png(GRAY, depth, 0), None if depth < 4 else GRAY)
    for depth in (8, 16):
        yield Sample("PNG", f"gray with alpha of {depth} bits", png(np.dstack([GRAY, GRAY * 0 + 255]), depth, 4), GRAY)
        yield Sample("PNG", f"colour of {depth} bits", png(COLOUR, depth, 2), COLOUR)
        yield Sample("PNG", f"colour with alpha of {depth} bits", png(translucent(), depth, 6), COLOUR)
    palette = chunk(b"PLTE", bytes(range(256)) * 3)
    for depth in (1, 2, 4, 8):
        yield Sample("PNG", f"palette of {bits(depth)}", png(GRAY, depth, 3, palette), None)
    yield Sample("PNG", "palette with alpha", png(GRAY, 8, 3, palette, chunk(b"tRNS", bytes(range(256)))), None)
    yield Sample("PNG", "animated: the first frame", encoded(COLOUR, "PNG", **frames(COLOUR)), COLOUR)
    yield Sample("PNG", "turned by EXIF", encoded(COLOUR, "PNG", exif=turned()), np.rot90(COLOUR, -1))
    whole = png(COLOUR, 8, 2)
    yield Sample("PNG", "Apple's CgBI", whole[:8] + chunk(b"CgBI", b"\x50\0\x20\2") + whole[8:], None)
    yield Sample("PNG", "a colour type that does not exist", png(COLOUR, 8, 5), None)


def jpeg_samples() -> Iterator[Sample]:
    whole = encoded(COLOUR, "JPEG", quality=95)
    yield Sample("JPEG", "gray", encoded(GRAY, "JPEG"), GRAY)
    yield Sample("JPEG", "colour", whole, COLOUR)
    yield Sample("JPEG", "not subsampled", encoded(COLOUR, "JPEG", subsampling=0), COLOUR)
    yield Sample("JPEG", "progressive", encoded(COLOUR, "JPEG", progressive=True), COLOUR)
    yield Sample("JPEG", "CMYK", encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), COLOUR)
    yield Sample("JPEG", "turned by EXIF", encoded(COLOUR, "JPEG", exif=turned()), np.rot90(COLOUR, -1))
    frame = b"\xff\xc0\0\x11\x08"
    yield Sample("JPEG", "12 bits per sample", patched(whole, frame, b"\xff\xc1\0\x11\x0c"), None)
    yield Sample("JPEG", "hierarchical", patched(whole, frame, b"\xff\xc5\0\x11\x08"), None)
    yield Sample("JPEG", "arithmetic-coded", patched(whole, frame, b"\xff\xc9\0\x11\x08"), None)
    yield Sample("JPEG", "arithmetic-coded lossless", patched(whole, frame, b"\xff\xcb\0\x11\x08"), None)
    yield Sample("JPEG", "JPEG-LS", patched(whole, frame, b"\xff\xf7\0\x11\x08"), None)
    yield Sample("JPEG", "without its end mark", whole[:-2], COLOUR)
    yield Sample("JPEG", "cut in its tables", whole[:100], None)


def bmp_samples() -> Iterator[Sample]:
    colour = encoded(COLOUR, "BMP")
    yield Sample("BMP", "1 bit", encoded(BITS, "BMP"), BITS * np.uint8(255))
    yield Sample("BMP", "gray", encoded(GRAY, "BMP"), GRAY)
    yield Sample("BMP", "palette", encoded(Image.fromarray(COLOUR).quantize(), "BMP"), COLOUR)
    yield Sample("BMP", "24 bits", colour, COLOUR)
    yield Sample("BMP", "32 bits", encoded(translucent(), "BMP"), COLOUR)
    yield Sample("BMP", "2 bits", colour[:28] + b"\2" + colour[29:], None)
    yield Sample("BMP", "JPEG inside", colour[:30] + b"\4" + colour[31:], None)


def gif_samples() -> Iterator[Sample]:
    palette = Image.fromarray(COLOUR).quantize()
    yield Sample("GIF", "gray", encoded(GRAY, "GIF"), GRAY)
    yield Sample("GIF", "palette", encoded(palette, "GIF"), COLOUR)
    yield Sample("GIF", "interlaced", encoded(palette, "GIF", interlace=1), COLOUR)
    yield Sample("GIF", "animated: the first frame", encoded(palette, "GIF", **frames(COLOUR)), COLOUR)


def tiff_samples() -> Iterator[Sample]:
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        name = {"raw": "uncompressed", "tiff_lzw": "LZW", "tiff_adobe_deflate": "deflate"}.get(compression, compression)
        yield Sample("TIFF", f"colour, {name}", encoded(COLOUR, "TIFF", compression=compression), COLOUR)
    for compression in ("group3", "group4"):
        yield Sample("TIFF", f"1 bit, fax {compression}", encoded(BITS, "TIFF", compression=compression), None)
    yield Sample("TIFF", "gray of 8 bits", encoded(GRAY, "TIFF"), GRAY)
    yield Sample("TIFF", "gray of 16 bits", encoded(GRAY.astype(np.uint16) * 257, "TIFF"), None)
    yield Sample("TIFF", "float", encoded(GRAY.astype(np.float32) / 255, "TIFF"), None)
    yield Sample("TIFF", "alpha", encoded(translucent(), "TIFF"), COLOUR)
    yield Sample("TIFF", "palette", encoded(Image.fromarray(COLOUR).quantize(), "TIFF"), COLOUR)
    for mode in ("CMYK", "LAB", "YCbCr"):
        yield Sample("TIFF", mode, encoded(Image.fromarray(COLOUR).convert(mode), "TIFF"), None)
    yield Sample("TIFF", "pages: the first", encoded(COLOUR, "TIFF", **frames(COLOUR)), COLOUR)


def webp_samples() -> Iterator[Sample]:
    yield Sample("WEBP", "lossy", encoded(COLOUR, "WEBP"), COLOUR)
    yield Sample("WEBP", "lossless", encoded(COLOUR, "WEBP", lossless=True), COLOUR)
    yield Sample("WEBP", "alpha", encoded(translucent(), "WEBP"), COLOUR)
    yield Sample("WEBP", "animated: the first frame", encoded(COLOUR, "WEBP", **frames(COLOUR)), COLOUR)


def heif_samples() -> Iterator[Sample]:
    for subsampling in ("4:2:0", "4:2:2", "4:4:4"):
        whole = encoded(COLOUR, "AVIF", subsampling=subsampling, max_threads=1)
        yield Sample("AVIF", f"colour {subsampling}", whole, COLOUR)
    yield Sample("AVIF", "gray", encoded(GRAY, "AVIF", max_threads=1), GRAY)
    yield Sample("AVIF", "alpha", encoded(translucent(), "AVIF", max_threads=1), COLOUR)
    yield Sample("AVIF", "animated: the first frame", encoded(COLOUR, "AVIF", max_threads=1, **frames(COLOUR)), COLOUR)
    yield Sample("AVIF", "turned", encoded(COLOUR, "AVIF", max_threads=1, exif=turned()), np.rot90(COLOUR, -1))
    for number, (name, payload) in enumerate(HEIF_SAMPLES):
        if name == "HEIC":
            yield Sample("HEIC", "alpha" if number % 2 else "colour", payload, None)
    other = patched(HEIF_SAMPLES[-1][1], b"hvc1", b"vvc1")
    yield Sample("HEIC", "another codec inside", other, None)


def other_samples() -> Iterator[Sample]:
    """Text, and images whose bytes were changed on the way."""
    picture = png(COLOUR, 8, 2)
    text = base64.b64encode(picture)
    event = {"specversion": "1.0", "data_base64": text.decode()}
    for variant, payload in (
        ("base64", text),
        ("data URL", b"data:image/png;base64," + text),
        ("JSON with an image", json.dumps({"image": text.decode()}).encode()),
        ("other JSON", b'{"error": "not found"}'),
        ("CloudEvent", json.dumps(event).encode()),
        ("hexadecimal", picture.hex().encode()),
        ("`str()` of bytes", repr(picture).encode()),
        ("HTML", b"<!DOCTYPE html><html><body>404</body></html>"),
        ("XML of an error", b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>"),
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("address", b"https://example.org/a.png"),
        ("path", b"/photos/a.png"),
        ("Git LFS", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("Confluent's prefix", b"\0\0\0\0\x2a" + picture),
        ("a length before", struct.pack("<I", len(picture)) + picture),
        ("line ends changed", picture.replace(b"\r\n", b"\n")),
        ("decoded as UTF-8", picture.decode("utf-8", "replace").encode()),
        ("encoded as UTF-8", picture.decode("latin-1").encode()),
        ("gzip", gzip.compress(picture, mtime=0)),
        ("nothing", b""),
        ("anything else", b"\xfe\xdc\xba\x98" + bytes(60)),
    ):
        yield Sample("", variant, payload, None)


def result_of(sample: Sample) -> str:
    decoded = decode(sample.payload)
    if isinstance(decoded, Rejected):
        return f"`{decoded.reason}`: {decoded.detail}"
    if sample.shows is not None:
        shown = sample.shows[..., ::-1] if sample.shows.ndim == 3 else sample.shows[..., np.newaxis]
        assert decoded.shape[:2] == shown.shape[:2], sample.variant
        off = np.abs(decoded.astype(int) - shown).max()
        assert off <= TOLERANCE, f"{sample.format} {sample.variant}: {off}"
    return "read"


def format_lists() -> list[str]:
    """Lists of the variants that are read, by format, and of those that are not."""
    kinds = (png_samples, jpeg_samples, bmp_samples, gif_samples, tiff_samples, webp_samples, heif_samples)
    samples = [(sample, result_of(sample)) for make in kinds for sample in make()]
    read: dict[str, list[str]] = {}
    refused = []
    for sample, result in samples:
        if result == "read":
            read.setdefault(sample.format, []).append(sample.variant)
        else:
            refused.append(f"- {sample.format}, {sample.variant}. {result}")
    refused += [
        f"- {name}, where its codec is not installed. `unsupported_format`: {MISSING[name]}" for name in MISSING
    ]
    listed = [f"- **{name}**: {'; '.join(variants)}" for name, variants in read.items()]
    return ["Read:", "", *listed, "", "Not read, with the reason and the detail of the dead letter:", "", *refused]


def foreign_list() -> list[str]:
    """A list of known files, by what their dead letters say to do."""
    advice = dict.fromkeys(kind.advice for kind in FOREIGN)
    names = {text: "; ".join(dict.fromkeys(kind.name for kind in FOREIGN if kind.advice == text)) for text in advice}
    return [f"- *{text}*: {names[text]}" for text in advice]


def other_list() -> list[str]:
    return [f"- **{sample.variant}**. {result_of(sample)}" for sample in other_samples()]


PARTS = {"formats": format_lists, "foreign": foreign_list, "other": other_list}


def rendered(page: str) -> str:
    """The page with the text between each `<!-- NAME -->` and `<!-- end -->` replaced by that part."""

    def part(match: re.Match[str]) -> str:
        return "\n".join([f"<!-- {match[1]} -->", "", *PARTS[match[1]](), "", "<!-- end -->"])

    return re.sub(rf"<!-- ({'|'.join(PARTS)}) -->\n.*?<!-- end -->", part, page, flags=re.DOTALL)


def main() -> None:
    page = PAGE.read_text()
    now = rendered(page)
    if "--check" not in sys.argv:
        PAGE.write_text(now)
    elif now != page:
        sys.exit("docs/reference/formats.md is out of date: python docs/formats.py")


if __name__ == "__main__":
    main()
