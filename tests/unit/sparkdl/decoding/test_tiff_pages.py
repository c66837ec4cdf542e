"""Which page of a TIFF is decoded, how it is turned, and what a damaged or hostile one ends as."""

from __future__ import annotations

import lzma
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from pictures import Array, encode, flipped, pixels, rejected
from PIL import Image
from tiff_files import (
    ADOBE_DEFLATE,
    LONG,
    LOSSLESS,
    LZMA,
    LZW,
    NONE,
    SHORT,
    ZSTD,
    Page,
    write,
)

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Limits, Reason, Rejected

RNG = np.random.default_rng(5)
FULL = RNG.integers(0, 256, (24, 32, 3), np.uint8)
SMALL = RNG.integers(0, 256, (6, 8, 3), np.uint8)
GRAY = FULL[..., :1]


def page(samples: Array, **options: Any) -> Page:
    return Page(samples, 2 if samples.shape[2] == 3 else 1, **options)


def reduced(**options: Any) -> Page:
    return page(SMALL, tags={254: (LONG, [1])}, **options)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "pages",
    [
        [page(FULL), page(SMALL)],
        [page(FULL), reduced()],
        [reduced(), page(FULL)],
        [page(SMALL, tags={255: (SHORT, [2])}), page(FULL)],
        [page(SMALL, tags={254: (LONG, [4])}), page(FULL), page(SMALL)],
        [reduced(sub=[page(FULL)]), page(SMALL)],
        [reduced(sub=[reduced(), page(FULL)])],
        [page(FULL, tags={254: (LONG, [2])}), page(SMALL)],
    ],
    ids=["pages", "overview", "thumbnail", "old tag", "mask", "sub-directory", "second sub-directory", "page of many"],
)
def test_the_first_full_picture_is_taken(pages: list[Page], order: str, big: bool) -> None:
    assert np.array_equal(pixels(write(*pages, order=order, big=big)), FULL[..., ::-1])


def test_a_file_of_a_reduced_picture_alone_is_that_picture() -> None:
    assert np.array_equal(pixels(write(reduced())), SMALL[..., ::-1])


def test_raw_data_of_a_camera_behind_a_thumbnail_is_refused_by_name() -> None:
    refusal = rejected(write(reduced(sub=[Page(GRAY, 32803)])))
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert "raw data of a camera (CFA)" in refusal.detail


def test_directories_that_follow_each_other_in_a_circle_end() -> None:
    payload = bytearray(write(reduced(), reduced()))
    payload[-4:] = payload[4:8]
    assert np.array_equal(pixels(bytes(payload)), SMALL[..., ::-1])


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, FULL),
        (2, FULL[:, ::-1]),
        (3, FULL[::-1, ::-1]),
        (4, FULL[::-1]),
        (5, FULL.swapaxes(0, 1)),
        (6, np.rot90(FULL, -1)),
        (7, np.rot90(FULL, 2).swapaxes(0, 1)),
        (8, np.rot90(FULL)),
        (0, FULL),
        (9, FULL),
    ],
)
@pytest.mark.parametrize("planar", [False, True])
def test_the_orientation_is_applied(orientation: int, turned: Array, planar: bool) -> None:
    payload = write(page(FULL, planar=planar, tags={274: (SHORT, [orientation])}))
    assert np.array_equal(pixels(payload), turned[..., ::-1])


# --- structure ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", LOSSLESS.values(), ids=LOSSLESS)
@pytest.mark.parametrize("layout", [{}, {"strip": 5}, {"tile": (16, 16)}], ids=["one", "strips", "tiles"])
def test_a_cut_file_is_truncated(compression: int, layout: dict[str, Any]) -> None:
    payload = write(page(FULL, compression=compression, **layout))
    cuts = [8, len(payload) // 4, len(payload) // 2, len(payload) - 10, len(payload) - 1]
    assert {rejected(payload[:cut]).reason for cut in cuts} == {Reason.TRUNCATED}


@pytest.mark.parametrize(
    "compression", [NONE, LZW, ADOBE_DEFLATE, ZSTD, LZMA], ids=["none", "lzw", "deflate", "zstd", "lzma"]
)
def test_a_strip_that_is_too_short_for_its_rows_is_corrupt(compression: int) -> None:
    payload = write(page(FULL, compression=compression, tags={257: (LONG, [25])}))
    assert rejected(payload).reason is Reason.CORRUPT


@pytest.mark.parametrize(
    "tags",
    [{273: (LONG, [0])}, {279: (LONG, [0])}, {273: (LONG, [0]), 279: (LONG, [0])}],
    ids=["no offset", "no bytes", "neither"],
)
def test_a_strip_that_is_not_stored_is_refused_and_said_so(tags: dict[int, Any]) -> None:
    refusal = rejected(write(page(FULL, tags=tags)))
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert refusal.detail.startswith("TIFF: 1 of 1 strips or tiles are not stored (a sparse file, or")


@pytest.mark.parametrize(
    "tags",
    [
        {278: (LONG, [0])},
        {278: (LONG, [3])},
        {322: (LONG, [10]), 323: (LONG, [16]), 324: (LONG, [8]), 325: (LONG, [9])},
    ],
    ids=["strips of 0 rows", "too few strips", "odd tiles"],
)
def test_a_layout_that_contradicts_itself_is_corrupt(tags: dict[int, Any]) -> None:
    assert rejected(write(page(FULL, tags=tags))).reason is Reason.CORRUPT


def test_the_size_of_one_strip_may_be_missing() -> None:
    payload = write(page(FULL))
    at = payload.index(b"\x17\x01\x04\0\x01\0\0\0")
    assert np.array_equal(pixels(payload[:at] + b"\x18" + payload[at + 1 :]), FULL[..., ::-1])


def test_strips_that_share_their_bytes_over_and_over_are_corrupt() -> None:
    payload = write(page(FULL, strip=1, tags={273: (LONG, [8] * 24), 279: (LONG, [2000] * 24)}))
    assert rejected(payload).reason is Reason.CORRUPT


def test_more_strips_than_are_read_are_refused() -> None:
    refusal = rejected(write(page(np.zeros((1, 1, 1), np.uint8), tags={257: (LONG, [1_000_000]), 278: (LONG, [1])})))
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert "1000000 strips or tiles, at most 262144 are read" in refusal.detail


# --- damage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [LZW, ADOBE_DEFLATE, ZSTD, LZMA], ids=["lzw", "deflate", "zstd", "lzma"])
def test_damage_in_the_code_is_never_a_crash_and_in_deflate_and_lzma_never_a_picture(compression: int) -> None:
    payload = write(page(FULL, compression=compression))
    outcomes = [decode(flipped(payload, at)) for at in range(12, 1200, 7)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert {outcome.reason for outcome in refused} == {Reason.CORRUPT}
    if compression in (ADOBE_DEFLATE, LZMA):  # they have checksums
        read = [outcome for outcome in outcomes if not isinstance(outcome, Rejected)]
        assert all(np.array_equal(picture, FULL[..., ::-1]) for picture in read)
        assert len(refused) > len(outcomes) * 0.9


BITS = (np.add.outer(np.arange(64), np.arange(90)) % 13 < 5).astype(np.uint8)


@pytest.mark.parametrize("name", ["tiff_ccitt", "group3", "group4"])
def test_a_fax_with_errors_is_corrupt_or_has_as_many_pixels_in_each_line(name: str) -> None:
    payload = encode(Image.fromarray(BITS * 255).convert("1"), "TIFF", compression=name)
    outcomes = [decode(flipped(payload, at)) for at in range(10, 400, 3)]
    corrupt = [outcome for outcome in outcomes if isinstance(outcome, Rejected) and outcome.reason is Reason.CORRUPT]
    assert len(corrupt) > len(outcomes) * 0.8


def test_a_jpeg_strip_with_errors_is_corrupt() -> None:
    payload = encode(Image.fromarray(FULL), "TIFF", compression="jpeg")
    scan = payload.index(b"\xff\xda")
    stray = payload[: scan + 30] + b"\xff\x37" + payload[scan + 32 :]
    assert rejected(stray).reason is Reason.CORRUPT
    ended = payload[: scan + 30] + b"\xff\xd9" + payload[scan + 32 :]
    assert rejected(ended).reason is Reason.CORRUPT


# --- limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [ADOBE_DEFLATE, LZMA])
def test_a_strip_is_decompressed_no_further_than_its_rows(compression: int) -> None:
    pack = zlib.compress if compression == ADOBE_DEFLATE else lzma.compress
    payload = write(page(GRAY, compression=compression, codec=lambda piece: pack(piece.tobytes() + bytes(50_000_000))))
    tracemalloc.start()
    assert np.array_equal(pixels(payload), GRAY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12_000_000  # the dictionary of LZMA has 8 MiB


@pytest.mark.parametrize("number", ["u8", "f8"])
def test_samples_of_more_bytes_than_allowed_are_too_many_pixels(number: str) -> None:
    payload = write(Page(FULL[..., :1].astype(number)))
    assert isinstance(decode(payload, Limits(max_pixels=24 * 32)), np.ndarray)
    wide = write(Page(np.zeros((24, 32, 3), "f8"), 2))
    refusal = decode(wide, Limits(max_pixels=24 * 32))
    assert refusal == Rejected(Reason.TOO_MANY_PIXELS, "TIFF: 18432 bytes of samples, at most 6144 are allowed")
