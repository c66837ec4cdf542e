"""JPEG: colour spaces, subsampling, scans, restarts, sizes; metadata and ends of every kind."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from pictures import Array, assert_near, encode, pixels
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Reason, Rejected

SIZES = ((8, 8), (17, 13), (33, 50), (1, 1))
COLOURS: dict[str, dict[str, Any]] = {
    "gray": {},
    "4:4:4": {"subsampling": 0},
    "4:2:2": {"subsampling": 1},
    "4:2:0": {"subsampling": 2},
    "RGB": {"keep_rgb": True},
    "CMYK": {},
    "YCCK": {},
}
SCANS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "progressive restarts": {"progressive": True, "restart_marker_blocks": 1},
}
KINDS = list(itertools.product(COLOURS, SCANS, (25, 90, 100), SIZES))


def make(colours: str, scans: str, quality: int, size: tuple[int, int]) -> bytes:
    random = np.random.default_rng(size[0])
    smooth = random.integers(0, 256, (-(-size[0] // 3), -(-size[1] // 3), 3), np.uint8)
    image = Image.fromarray(smooth.repeat(3, axis=0).repeat(3, axis=1)[: size[0], : size[1]])
    mode = {"gray": "L", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colours, "RGB")
    payload = encode(image.convert(mode), "JPEG", quality=quality, **COLOURS[colours], **SCANS[scans])
    if colours == "YCCK":
        adobe = payload.index(b"Adobe")
        payload = payload[: adobe + 11] + b"\2" + payload[adobe + 12 :]
    return payload


def second_reader(payload: bytes, colours: str) -> Array:
    """As OpenCV's libjpeg-turbo reads it; ink of four colours as levels, by the formula of the product of inks."""
    gray = cv2.IMREAD_GRAYSCALE if colours == "gray" else cv2.IMREAD_COLOR
    return np.atleast_3d(cv2.imdecode(np.frombuffer(payload, np.uint8), gray | cv2.IMREAD_IGNORE_ORIENTATION))


@pytest.mark.parametrize(("colours", "scans", "quality", "size"), KINDS)
def test_every_kind_of_jpeg_is_read_as_by_a_second_reader(
    colours: str, scans: str, quality: int, size: tuple[int, int]
) -> None:
    payload = make(colours, scans, quality, size)
    # OpenCV rounds the product of ink and black down.
    assert_near(pixels(payload), second_reader(payload, colours), 2 if colours in ("CMYK", "YCCK") else 0)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)], ids=["gray", "RGB"])
def test_lossless_jpeg_is_read_to_the_last_bit_or_truncated(shape: tuple[int, ...], predictor: int) -> None:
    picture = np.random.default_rng(predictor).integers(0, 256, shape, np.uint8)
    space = "rgb" if len(shape) == 3 else None
    payload = bytes(
        imagecodecs.jpeg8_encode(
            picture, lossless=True, predictor=predictor, colorspace=space, outcolorspace=space, subsampling="444"
        )
    )
    assert b"\xff\xc3" in payload
    expected = np.atleast_3d(picture)[..., ::-1]
    assert np.array_equal(pixels(payload), expected)
    for cut in range(payload.index(b"\xff\xda"), len(payload)):
        decoded = decode(payload[:cut])
        assert (
            decoded.reason is Reason.TRUNCATED if isinstance(decoded, Rejected) else np.array_equal(decoded, expected)
        )


@pytest.mark.parametrize("marker", [b"\xff\xc9", b"\xff\xca"])
def test_arithmetic_coding_is_refused_by_name(marker: bytes) -> None:
    payload = make("4:2:0", "baseline", 90, (17, 13)).replace(b"\xff\xc0", marker, 1)
    decoded = decode(payload)
    assert isinstance(decoded, Rejected)
    assert (decoded.reason, "arithmetic-coded" in decoded.detail) == (Reason.UNSUPPORTED_FORMAT, True)


@pytest.mark.parametrize(("colours", "scans", "quality", "size"), KINDS)
def test_without_its_end_a_jpeg_is_read_if_all_pixels_are_there_and_never_otherwise(
    colours: str, scans: str, quality: int, size: tuple[int, int]
) -> None:
    payload = make(colours, scans, quality, size)
    whole, end = pixels(payload), payload.rindex(b"\xff\xd9")
    for cut in (end, end + 1):
        assert np.array_equal(pixels(payload[:cut]), whole), cut
    scan = payload.index(b"\xff\xda") + 2
    for cut in {*range(max(scan, end - 12), end), *np.linspace(scan, end, 6, endpoint=False).astype(int).tolist()}:
        decoded = decode(payload[:cut])
        if isinstance(decoded, Rejected):
            assert decoded.reason is Reason.TRUNCATED, cut
        else:  # what is missing changes no pixel
            assert np.array_equal(decoded, whole), cut


@pytest.mark.parametrize("scans", SCANS)
@pytest.mark.parametrize("filling", [b"\0" * 500, b"\0" * 500 + b"\1", b"\x5a" * 500], ids=["zeros", "nearly", "5A"])
def test_a_cut_jpeg_that_was_filled_up_is_truncated(scans: str, filling: bytes) -> None:
    payload = make("4:2:0", scans, 90, (33, 50))
    scan, end = payload.index(b"\xff\xda") + 14, payload.rindex(b"\xff\xd9")
    for cut in (scan, (scan + end) // 2, end - 40, end - 20, end - 5):
        decoded = decode(payload[:cut] + filling)
        if isinstance(decoded, Rejected):
            is_stray = payload[cut - 1] == 0xFF and filling[0] != 0  # it became a marker with the filling
            assert decoded.reason is (Reason.CORRUPT if is_stray else Reason.TRUNCATED), cut
        else:  # what is missing changes no pixel
            assert cut >= end - 5
            assert np.array_equal(decoded, pixels(payload)), cut
    if not filling.strip(b"\0"):
        assert np.array_equal(pixels(payload[:end] + filling), pixels(payload))


# Metadata


def segment(marker: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2 if length is None else length) + data


JUNK = bytes(range(256)) * 255
PROFILE = b"ICC_PROFILE\0"
METADATA = {
    "no JFIF": segment(0xE0, b"JFIF"),
    "JFIF again": segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") * 2,
    "EXIF of junk": segment(0xE1, b"Exif\0\0" + JUNK),
    "EXIF without end": segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff"),
    "EXIF of 2 MB": segment(0xE1, b"Exif\0\0" + JUNK) * 32,
    "XMP of junk": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + JUNK),
    "profile without number": segment(0xE2, PROFILE),
    "profile of one byte more": segment(0xE2, PROFILE + b"\1"),
    "profile out of order": segment(0xE2, PROFILE + b"\2\2b") + segment(0xE2, PROFILE + b"\1\2a"),
    "profile lacks a part": segment(0xE2, PROFILE + b"\3\7b"),
    "FlashPix": segment(0xE2, b"FPXR\0"),
    "pictures of a phone": segment(0xE2, b"MPF\0" + bytes(40)),
    "Photoshop cut": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed"),
    "Photoshop junk": segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff\xff\xff\xff"),
    "Adobe cut": segment(0xEE, b"Adobe"),
    "comments of 2 MB": segment(0xFE, JUNK) * 32,
    "length 0": segment(0xE5, b"", 0),
    "length 1": segment(0xFE, b"", 1),
    "length too small": segment(0xEB, b"more than it says", 6),
}


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("colours", ["gray", "4:2:0", "RGB"])
def test_metadata_changes_no_pixel(metadata: str, colours: str) -> None:
    payload = make(colours, "baseline", 90, (33, 50))
    if (metadata, colours) == ("JFIF again", "RGB"):
        metadata = "no JFIF"  # where JFIF is, colours are YCbCr
    for place in (2, payload.index(b"\xff\xdb"), payload.index(b"\xff\xda")):
        assert np.array_equal(pixels(payload[:place] + METADATA[metadata] + payload[place:]), pixels(payload)), place


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_from_the_first_exif_that_can_be_read_and_else_from_xmp(order: str) -> None:
    payload = make("4:2:0", "baseline", 90, (33, 50))
    plain = pixels(payload)
    xmp = segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="3"/>')
    stated = segment(0xE1, exif(6, order))
    unreadable = METADATA["EXIF without end"]
    for metadata, expected in (
        (stated, np.rot90(plain, -1)),
        (unreadable + stated, np.rot90(plain, -1)),
        (xmp + stated, np.rot90(plain, -1)),
        (unreadable + xmp, plain[::-1, ::-1]),
        (segment(0xE1, exif(9, order)), plain),
    ):
        assert np.array_equal(pixels(payload[:2] + metadata + payload[2:]), expected)


def test_a_length_that_ends_inside_a_thumbnail_does_not_make_the_thumbnail_the_picture() -> None:
    payload, thumbnail = make("4:2:0", "baseline", 90, (33, 50)), make("4:2:0", "baseline", 90, (8, 8))
    whole = segment(0xE1, b"Exif\0\0" + bytes(20) + thumbnail)
    assert np.array_equal(pixels(payload[:2] + whole + payload[2:]), pixels(payload))
    for length in range(2, len(whole) - 2):
        decoded = decode(payload[:2] + whole[:2] + struct.pack(">H", length) + whole[4:] + payload[2:])
        assert isinstance(decoded, Rejected) or decoded.shape == (33, 50, 3), length


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xCB, 0xCD, 0xCE, 0xCF])
def test_a_process_that_is_not_read_is_turned_away(marker: int) -> None:
    payload = make("gray", "baseline", 90, (17, 13))
    assert isinstance(decode(payload.replace(b"\xff\xc0", bytes([0xFF, marker]))), Rejected)
