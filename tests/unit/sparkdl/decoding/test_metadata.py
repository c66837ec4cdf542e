"""Metadata of PNG changes no pixel, whatever is in it, and needs little memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from pictures import RGB, WIDTH, chunk, encode, pixels, png, rejected
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Reason

PLAIN = encode(RGB, "PNG")
HEAD, TAIL = PLAIN[:33], PLAIN[33:]
BOMB = zlib.compress(bytes(50_000_000))
NOISE = np.random.default_rng(1).bytes(1_300_000)


def damaged(kind: bytes, data: bytes) -> bytes:
    return chunk(kind, data)[:-1] + b"?"


METADATA = {
    "text with a wrong checksum": damaged(b"tEXt", b"Comment\0words"),
    "unknown with a wrong checksum": damaged(b"abCd", b"words"),
    "short pHYs": chunk(b"pHYs", bytes(5)),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "short cHRM": chunk(b"cHRM", bytes(31)),
    "empty sRGB": chunk(b"sRGB", b""),
    "empty tIME": chunk(b"tIME", b""),
    "sBIT of another length": chunk(b"sBIT", bytes(9)),
    "sBIT twice": chunk(b"sBIT", b"\5\6\5") * 2,
    "palette of a colour picture": chunk(b"PLTE", bytes(7)),
    "empty profile": chunk(b"iCCP", b""),
    "profile without end": chunk(b"iCCP", b"name"),
    "profile of another method": chunk(b"iCCP", b"name\0\7abc"),
    "profile that is damaged": chunk(b"iCCP", b"name\0\0" + bytes(100)),
    "profile of 1.3 MB": chunk(b"iCCP", b"name\0\0" + zlib.compress(NOISE)),
    "profile bomb": chunk(b"iCCP", b"name\0\0" + BOMB),
    "text of 2 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"words " * 350_000)),
    "text bomb": chunk(b"zTXt", b"Comment\0\0" + BOMB) * 20,
    "orientation bomb": chunk(b"zTXt", b"Raw profile type exif\0\0" + BOMB),
    "XMP bomb": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + BOMB),
    "text of no character set": chunk(b"iTXt", b"Comment\0\0\0\xff\0\xfe\0\xff\xff"),
    "short text": chunk(b"iTXt", b"a"),
    "empty text": chunk(b"tEXt", b"") + chunk(b"zTXt", b"") + chunk(b"iTXt", b""),
    "EXIF of junk": chunk(b"eXIf", NOISE),
    "EXIF without end": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "EXIF with a wrong checksum": damaged(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
    "animation that is none": chunk(b"acTL", bytes(8)) + chunk(b"fcTL", bytes(3)),
    "frames out of order": chunk(b"acTL", b"\0\0\0\2\0\0\0\0") + chunk(b"fcTL", b"\0\0\0\7" + bytes(22)),
}


@pytest.mark.parametrize("name", METADATA)
def test_metadata_of_a_png_changes_no_pixel_before_or_behind_them(name: str) -> None:
    for payload in (HEAD + METADATA[name] + TAIL, PLAIN[:-12] + METADATA[name] + PLAIN[-12:]):
        assert np.array_equal(pixels(payload), RGB[..., ::-1])


def test_metadata_needs_memory_for_its_bytes_and_no_more() -> None:
    payload = HEAD + b"".join(METADATA.values()) + TAIL
    decode(payload)
    tracemalloc.start()
    assert np.array_equal(pixels(payload), RGB[..., ::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(payload) + 8_000_000


@pytest.mark.parametrize("kind", [b"PLTE", b"tRNS", b"IDAT"])
def test_a_chunk_that_pixels_depend_on_is_not_taken_for_metadata_when_its_type_is_damaged(kind: bytes) -> None:
    parts = [chunk(b"PLTE", bytes([1, 2, 3, 4, 5, 6])), chunk(b"tRNS", b"\0")]
    payload = png(2, 2, 8, 3, [b"\0\1"] * 2, *parts)
    for bit in range(32):
        changed = bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(kind))
        assert rejected(payload.replace(kind, changed)).reason is Reason.CORRUPT, changed


def test_pixel_data_with_something_in_between_is_not_put_together() -> None:
    data = zlib.compress(b"".join(b"\0" + bytes(range(40)) for _ in range(40)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 0, 0, 0, 0))
    parts = chunk(b"IDAT", data[:20]) + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", data[20:])
    assert rejected(PLAIN[:8] + header + parts + chunk(b"IEND", b"")).reason is Reason.CORRUPT


def orientation_chunks() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = exif.tobytes().removeprefix(b"Exif\0\0")
    text = b"\nexif\n%8d\n" % len(raw) + raw.hex().encode() + b"\n"
    xmp = b"<x:xmpmeta tiff:Orientation='6'/>"
    return {
        "eXIf": chunk(b"eXIf", raw),
        "eXIf behind a damaged one": METADATA["EXIF without end"] + chunk(b"eXIf", raw),
        "text": chunk(b"tEXt", b"Raw profile type exif\0" + text),
        "compressed text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)),
        "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0en\0\0" + xmp),
        "compressed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
    }


@pytest.mark.parametrize("name", orientation_chunks())
def test_orientation_of_a_png_is_applied_wherever_it_is_stated(name: str) -> None:
    stated = orientation_chunks()[name]
    for payload in (HEAD + stated + TAIL, PLAIN[:-12] + stated + PLAIN[-12:]):
        assert np.array_equal(pixels(payload), np.rot90(RGB[..., ::-1], -1))


@pytest.mark.parametrize("cut", [1, 4, 8, 11, 12, 16])
@pytest.mark.parametrize("filling", [b"", b"\0" * 50, b"junk and more junk"])
def test_a_png_without_its_end_is_read_if_its_pixels_are_there(cut: int, filling: bytes) -> None:
    payload = PLAIN[:-cut] + filling
    if cut == 16 and filling:  # the checksum of IDAT is no longer missing, but wrong
        assert rejected(payload).reason is Reason.CORRUPT
    else:
        assert np.array_equal(pixels(payload), RGB[..., ::-1])


def test_the_default_image_of_an_animated_png_is_taken() -> None:
    frames = [Image.fromarray(255 - RGB), Image.fromarray(RGB // 2)]
    target = io.BytesIO()
    Image.fromarray(RGB).save(target, "PNG", save_all=True, append_images=frames, default_image=True)
    assert pixels(target.getvalue()).shape[1] == WIDTH
    assert np.array_equal(pixels(target.getvalue()), RGB[..., ::-1])
