"""Which images are rejected and why; hostile bytes never raise."""

from __future__ import annotations

import logging
import struct
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pictures import FORMATS, HEIGHT, RGB, SAMPLES, WIDTH, bmp, chunk, encode, flipped, pixels, png, rejected
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.errors import RequestError
from sparkdl.images.rejection import MEANINGS, Limits, Reason, Rejected


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


@pytest.mark.parametrize("payload", [None, b""])
def test_no_bytes_are_empty(payload: bytes | None) -> None:
    assert rejected(payload).reason is Reason.EMPTY


def test_a_payload_over_the_limit_is_not_read() -> None:
    payload = SAMPLES["PNG"]
    assert rejected(payload, Limits(max_bytes=len(payload) - 1)).reason is Reason.TOO_MANY_BYTES
    assert isinstance(decode(payload, Limits(max_bytes=len(payload))), np.ndarray)


@pytest.mark.parametrize("sample", SAMPLES)
def test_pixels_over_the_limit_are_too_many_in_every_format(sample: str) -> None:
    assert rejected(SAMPLES[sample], Limits(max_pixels=WIDTH * HEIGHT - 1)).reason is Reason.TOO_MANY_PIXELS
    assert isinstance(decode(SAMPLES[sample], Limits(max_pixels=WIDTH * HEIGHT)), np.ndarray)


def huge(image_format: str) -> bytes:
    """A file of a few bytes whose header announces 60,000 x 60,000 pixels (16,383 x 16,383, its most, for VP8)."""
    side = 60_000
    if image_format == "PNG":
        return png(side, side, 8, 2, [b""])
    if image_format == "JPEG":
        return SAMPLES["JPEG"].replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", side, side))
    if image_format == "BMP":
        return SAMPLES["BMP"].replace(struct.pack("<II", WIDTH, HEIGHT), struct.pack("<II", side, side))
    if image_format == "GIF":
        return SAMPLES["GIF"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", side, side))
    if image_format == "TIFF":
        return SAMPLES["TIFF"].replace(
            struct.pack("<HHIHH", 256, 4, 1, WIDTH, 0), struct.pack("<HHII", 256, 4, 1, 2**31)
        )
    return SAMPLES["WEBP"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", 16383, 16383))


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_huge_header_costs_neither_memory_nor_time(image_format: str) -> None:
    payload = huge(image_format)
    assert rejected(payload[: len(payload) * 9 // 10]).reason is Reason.TOO_MANY_PIXELS
    tracemalloc.start()
    start = time.perf_counter()
    reason = rejected(payload).reason
    seconds, (_, peak) = time.perf_counter() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason is Reason.TOO_MANY_PIXELS
    assert peak < 1_000_000
    assert seconds < 0.5


def test_a_gif_frame_over_the_edge_counts_with_the_edge_it_makes() -> None:
    payload = SAMPLES["GIF"]
    descriptor = payload.index(struct.pack("<BHHHH", 0x2C, 0, 0, WIDTH, HEIGHT))
    moved = payload[: descriptor + 1] + struct.pack("<HH", 60_000, 60_000) + payload[descriptor + 5 :]
    assert rejected(moved).reason is Reason.TOO_MANY_PIXELS


def test_limits_above_pillows_own_hold_and_leave_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert isinstance(decode(SAMPLES["PNG"]), np.ndarray)
    assert isinstance(decode(SAMPLES["TIFF tiff_lzw"]), np.ndarray)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("field", ["max_bytes", "max_pixels"])
def test_limits_below_one_are_refused(field: str) -> None:
    with pytest.raises(RequestError, match=f"{field}: expected at least 1, received: 0"):
        Limits(**{field: 0})


@pytest.mark.parametrize("timeout", [0.0, -1.0, float("nan")])
def test_a_limit_of_no_time_is_refused(timeout: float) -> None:
    with pytest.raises(RequestError, match="timeout: expected more than 0 seconds, received: "):
        Limits(timeout=timeout)


@pytest.mark.parametrize(
    "payload",
    [
        b"x",
        b"not an image",
        b"BMW is a car, not a bitmap",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"P6 2 2 255 " + bytes(12),
        encode(RGB, "ICO"),
        encode(RGB, "PPM"),
        encode(RGB, "JPEG2000"),
        encode(RGB, "TGA"),
        np.random.default_rng(1).bytes(5000),
        bytes(5000),
    ],
    ids=["x", "text", "text BM", "pdf", "svg", "wav", "ppm text", "ico", "ppm", "jp2", "tga", "random", "zeros"],
)
def test_other_bytes_are_an_unsupported_format(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(
    "payload",
    [
        SAMPLES["JPEG"].replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        bmp(1, 1, bytes(4), (0xF, 0xF0, 0xF00, 0)),
        SAMPLES["TIFF"].replace(struct.pack("<HHIH", 262, 3, 1, 2), struct.pack("<HHIH", 262, 3, 1, 77)),
    ],
    ids=["12 bit JPEG", "odd BMP masks", "unknown TIFF colour space"],
)
def test_a_variant_that_cannot_be_decoded_is_an_unsupported_format(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.UNSUPPORTED_FORMAT


def end_of_pixels(payload: bytes) -> int:
    """Where the pixel data of the first picture ends."""
    if payload.startswith(b"\x89PNG"):
        data = payload.index(b"IDAT")
        return data + 4 + int.from_bytes(payload[data - 4 : data], "big")
    if payload.startswith(b"\xff\xd8"):
        return payload.rindex(b"\xff\xd9")
    if payload.startswith(b"GIF"):
        size = struct.pack("<HHHH", 0, 0, WIDTH, HEIGHT)
        position = payload.index(b"," + size) + 10
        position += 3 << (payload[position - 1] & 7) + 1 if payload[position - 1] & 0x80 else 0
        position += 1
        while payload[position]:
            position += payload[position] + 1
        return position - 1  # the last byte has no more than a code that says that this is the end
    if payload.startswith(b"RIFF"):
        part = payload.index(b"ANMF") if b"ANMF" in payload else 12
        return part + 8 + int.from_bytes(payload[part + 4 : part + 8], "little")
    return len(payload)


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_cut_file_is_truncated_unless_all_pixels_of_its_first_picture_are_there(sample: str) -> None:
    payload, whole = SAMPLES[sample], pixels(SAMPLES[sample])
    end = end_of_pixels(payload)
    cuts = {*range(2, 64), *(end * percent // 100 for percent in (10, 25, 50, 75, 90)), *range(end - 8, end)}
    reasons = {cut: rejected(payload[:cut]).reason for cut in sorted(cuts) if cut < end}
    assert set(reasons.values()) == {Reason.TRUNCATED}, reasons
    for cut in range(end, len(payload) + 1):
        assert np.array_equal(pixels(payload[:cut]), whole), cut


@pytest.mark.parametrize("sample", SAMPLES)
def test_bytes_after_the_end_are_ignored(sample: str) -> None:
    assert np.array_equal(pixels(SAMPLES[sample] + b"\0" * 100), pixels(SAMPLES[sample]))


@pytest.mark.parametrize("sample", ["PNG", "PNG palette", "PNG animated"])
def test_a_damaged_byte_anywhere_in_a_png_is_corrupt_unless_it_changes_no_pixel(sample: str) -> None:
    payload, whole = SAMPLES[sample], pixels(SAMPLES[sample])
    starts = {kind: payload.index(kind) for kind in (b"IHDR", b"PLTE", b"IDAT") if kind in payload}
    critical = {
        position
        for start in starts.values()
        for position in range(start, start + 8 + int.from_bytes(payload[start - 4 : start], "big"))
    }
    for position in range(8, len(payload)):
        damaged = decode(flipped(payload, position))
        if position in critical or isinstance(damaged, Rejected):
            assert isinstance(damaged, Rejected), position
            assert damaged.reason is Reason.CORRUPT, position
        else:
            assert np.array_equal(damaged, whole), position


def jpeg_with_a_stray_marker() -> bytes:
    payload = SAMPLES["JPEG"]
    scan = payload.index(b"\xff\xda") + 30
    return payload[:scan] + b"\xff\x37" + payload[scan + 2 :]


@pytest.mark.parametrize(
    "payload",
    [
        jpeg_with_a_stray_marker(),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\2\xff\xda\0\2\xff\xd9",
        SAMPLES["GIF"].replace(struct.pack("<BHHHH", 0x2C, 0, 0, WIDTH, HEIGHT), b"\x99" + bytes(9)),
        b"GIF89a\1\0\1\0\0\0\0;",
        flipped(SAMPLES["TIFF tiff_adobe_deflate"], 60),
        flipped(SAMPLES["TIFF group4"], 60),
        flipped(SAMPLES["WEBP lossless"], 30),
        SAMPLES["WEBP"].replace(b"\x9d\x01\x2a", b"\x9d\x01\x2b"),
        png(4, 4, 8, 2, [b"\1\2\3" * 4] * 3),
        png(1, 9, 8, 3, [b"\1"] * 8, chunk(b"PLTE", bytes(6))),
        png(4, 4, 8, 3, [b"\0\0\0\0"] * 4),
        SAMPLES["TIFF strips"].replace(struct.pack("<HHII", 278, 4, 1, 4), struct.pack("<HHII", 278, 4, 1, 2)),
        png(4, 4, 8, 5, [b"\1\2\3" * 4] * 4),
        SAMPLES["PNG"].replace(b"IDAT", b"ID\0T"),
    ],
    ids=[
        "JPEG stray marker",
        "JPEG without anything",
        "JPEG without frame header",
        "GIF unknown block",
        "GIF without image",
        "TIFF deflate",
        "TIFF fax",
        "WebP lossless",
        "WebP start code",
        "PNG with too few rows",
        "PNG palette with too few rows",
        "PNG palette missing",
        "TIFF with too few strips",
        "PNG unknown colour type",
        "PNG chunk type",
    ],
)
def test_a_file_that_contradicts_itself_is_corrupt(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.CORRUPT


def test_a_file_of_countless_parts_is_turned_away_before_each_is_looked_into() -> None:
    chunks = png(8, 8, 8, 0, [bytes(8)] * 8, chunk(b"prVt", b"") * 100_000)
    assert rejected(chunks) == Rejected(Reason.UNSUPPORTED_FORMAT, "PNG: more than 65536 chunks")
    image = encode(RGB, "JPEG", progressive=True)
    scan = image[image.rindex(b"\xff\xda") : -2]
    assert isinstance(decode(image[:-2] + scan * 20 + image[-2:]), np.ndarray)
    scans = image[:-2] + scan * 100 + image[-2:]
    assert rejected(scans) == Rejected(Reason.UNSUPPORTED_FORMAT, "JPEG: more than 100 scans")


def test_pixel_data_beyond_the_last_row_is_not_decompressed() -> None:
    payload = png(1, 1, 8, 0, [bytes(100_000_000)])
    tracemalloc.start()
    assert pixels(payload).tolist() == [[[0]]]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "payload",
    [
        png(0, 4, 8, 2, [b""]),
        png(4, 0, 8, 2, [b""]),
        SAMPLES["JPEG"].replace(struct.pack(">HH", HEIGHT, WIDTH), struct.pack(">HH", 0, WIDTH)),
        SAMPLES["BMP"].replace(struct.pack("<II", WIDTH, HEIGHT), struct.pack("<II", WIDTH, 0)),
        SAMPLES["GIF"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", 0, HEIGHT)),
        SAMPLES["TIFF"].replace(struct.pack("<HHII", 256, 4, 1, WIDTH), struct.pack("<HHII", 256, 4, 1, 0)),
        SAMPLES["WEBP"].replace(struct.pack("<HH", WIDTH, HEIGHT), struct.pack("<HH", WIDTH, 0)),
    ],
    ids=["PNG width", "PNG height", "JPEG", "BMP", "GIF", "TIFF", "WEBP"],
)
def test_a_side_of_zero_is_corrupt(payload: bytes) -> None:
    assert rejected(payload).reason is Reason.CORRUPT


def test_a_detail_is_one_short_printable_line() -> None:
    detail = Rejected(Reason.CORRUPT, "a\nb\x1b[31m\udc80 " + "x" * 1000).detail
    assert detail.startswith("a b?[31m? x")
    assert len(detail) == 200
    assert detail.isprintable()


# Hostile bytes


def check(payload: bytes) -> None:
    decoded = decode(payload, Limits(max_pixels=1_000_000))
    if isinstance(decoded, Rejected):
        assert 0 < len(decoded.detail) <= 200
        assert decoded.detail.isprintable()
    else:
        assert decoded.dtype == np.uint8
        assert decoded.ndim == 3
        assert decoded.shape[2] in (1, 3)


signatures = st.sampled_from(
    [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0"]
)


@settings(max_examples=200, deadline=None)
@given(start=signatures, rest=st.binary(max_size=300))
@example(start=b"RIFF", rest=b"\xff\xff\xff\xffWEBPVP8X" + bytes(30))
def test_arbitrary_bytes_never_raise(start: bytes, rest: bytes) -> None:
    check(start + rest)


@settings(max_examples=600, deadline=None)
@given(
    sample=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=4),
    near_the_start=st.booleans(),
    keep=st.floats(0.3, 1),
)
def test_mutated_files_never_raise(
    sample: str, edits: list[tuple[float, bytes]], near_the_start: bool, keep: float
) -> None:
    payload = bytearray(SAMPLES[sample])
    for place, patch in edits:
        position = int(place * min(len(payload), 200 if near_the_start else len(payload)))
        payload[position : position + len(patch)] = patch
    check(bytes(payload[: int(len(payload) * keep) if keep < 0.6 else len(payload)]))


def png_with_right_checksums(kind: bytes, data: bytes) -> bytes:
    return png(2, 2, 8, 2, [b"\1\2\3\4\5\6"] * 2, chunk(kind, data))


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(
        [b"acTL", b"fcTL", b"iCCP", b"tRNS", b"PLTE", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"gAMA"]
    ),
    data=st.binary(max_size=60),
)
def test_odd_png_chunks_never_raise(kind: bytes, data: bytes) -> None:
    check(png_with_right_checksums(kind, data))


def test_nothing_reaches_stderr_or_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: not record.name.startswith("py4j"))  # Spark's, when a garbage collection runs
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        for sample in ("TIFF tiff_lzw", "TIFF group4", "TIFF jpeg", "TIFF tiff_adobe_deflate", "TIFF", "PNG", "JPEG"):
            for position in range(0, len(SAMPLES[sample]), 5):
                check(flipped(SAMPLES[sample], position))
        check(png_with_right_checksums(b"acTL", bytes(8)))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert capfd.readouterr() == ("", "")


def test_threads_leave_the_warning_filters_as_they_were() -> None:
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [check(SAMPLES["TIFF"]) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
