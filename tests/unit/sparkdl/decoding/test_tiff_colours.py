"""Colours of a TIFF: white is zero, palettes, inks, YCbCr, CIELab, alpha and extra samples."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pictures import Array, assert_near, pixels, rejected
from PIL import Image
from tiff_files import (
    ADOBE_DEFLATE,
    GROUP_4,
    JPEG,
    LZW,
    NONE,
    PACKBITS,
    RATIONAL,
    SHORT,
    Page,
    write,
)

from sparkdl.images.rejection import Reason

HEIGHT, WIDTH = 21, 37
RNG = np.random.default_rng(3)
BASE = RNG.integers(0, 256, (HEIGHT, WIDTH, 6), np.uint8)
LAYOUTS: list[dict[str, Any]] = [{}, {"strip": 4}, {"tile": (16, 32)}]
EVERY = list(itertools.product((NONE, LZW, PACKBITS, ADOBE_DEFLATE), "<>", LAYOUTS, (False, True), (False, True)))
"""Compressions, byte orders, layouts, planes, and whether it is a BigTIFF."""


def written(samples: Array, photometric: int, tags: dict[int, Any], **options: Any) -> list[bytes]:
    """The same picture in all compressions, orders, layouts and planes, classic and BigTIFF."""
    is_multiple = samples.shape[2] > 1
    return [
        write(
            Page(samples, photometric, compression, planar=planar, tags=tags, **layout, **options),
            order=order,
            big=big,
        )
        for compression, order, layout, planar, big in EVERY
        if is_multiple or not planar
    ]


def assert_all(payloads: list[bytes], expected: Array) -> None:
    wrong = [index for index, payload in enumerate(payloads) if not np.array_equal(pixels(payload), expected)]
    assert payloads
    assert wrong == []


def deep(base: Array, bits: int) -> Array:
    """Samples of 8 or 16 bits with `base` in the upper byte."""
    if bits == 8:
        return base
    return base.astype(np.uint16) << 8 | RNG.integers(0, 256, base.shape, np.uint16)


def on_white(colours: Array, alpha: Array) -> Array:
    cover = alpha.astype(int)[..., np.newaxis]
    return (colours * cover + 255 * (255 - cover) + 127) // 255


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_white_is_zero_is_inverted(bits: int) -> None:
    base = BASE[..., :1]
    if bits <= 8:
        samples = base >> (8 - bits)
        expected = 255 - samples * (255 // ((1 << bits) - 1))
    else:
        samples, expected = deep(base, 16) >> (16 - bits), 255 - base
    assert_all(written(samples, 0, {}, bits=bits), expected)


@pytest.mark.parametrize(("number", "value"), [("f4", 1 / 255), ("i2", 1)])
def test_white_is_zero_is_inverted_in_numbers_that_are_scaled(number: str, value: float) -> None:
    assert_all(written((BASE[..., :1] * value).astype(number), 0, {}), 255 - BASE[..., :1])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("scale", [1, 257], ids=["map of 8 bits", "map of 16 bits"])
def test_a_palette_becomes_its_colours_whatever_the_bits_of_its_map(bits: int, scale: int) -> None:
    colours = RNG.integers(0, 256, (1 << bits, 3))
    colours[-1] = 255
    index = BASE[..., :1] >> (8 - bits)
    payloads = written(index, 3, {320: (SHORT, (colours.T.ravel() * scale).tolist())}, bits=bits)
    assert_all(payloads, colours[index[..., 0]][..., ::-1])


def test_a_palette_of_grays_becomes_gray() -> None:
    payloads = written(BASE[..., :1], 3, {320: (SHORT, [255 - value for value in range(256)] * 3)})
    assert_all(payloads, 255 - BASE[..., :1])


@pytest.mark.parametrize("length", [0, 3, 767])
def test_a_palette_that_is_too_short_is_corrupt(length: int) -> None:
    tags = {320: (SHORT, [7] * length)} if length else {}
    assert rejected(write(Page(BASE[..., :1], 3, tags=tags))).reason is Reason.CORRUPT


# --- extra samples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [0, 1, 2])
@pytest.mark.parametrize("meaning", [0, 1, 2, None], ids=["unspecified", "premultiplied", "alpha", "not said"])
def test_alpha_is_composited_on_white_and_other_extra_samples_are_ignored(
    bits: int, photometric: int, meaning: int | None
) -> None:
    count = 3 if photometric == 2 else 1
    base = BASE[..., : count + 1]
    tags = {} if meaning is None else {338: (SHORT, [meaning])}
    colours = 255 - base[..., :-1] if photometric == 0 else base[..., :-1]
    alpha = base[..., -1]
    expected = {
        1: np.minimum(colours + (255 - alpha.astype(int))[..., np.newaxis], 255),
        2: on_white(colours, alpha),
    }.get(meaning or 0, colours)
    assert_all(written(deep(base, bits), photometric, tags), expected[..., ::-1])


_GRAY_ONLY = [(1, "u1"), (2, "u1"), (4, "u1"), (0, "i2")]
_GRAY_OR_RGB = [(10, "u2"), (12, "u2"), (14, "u2"), (32, "u4"), (0, "f4")]


@pytest.mark.parametrize(
    ("bits", "number", "photometric"),
    [
        *((*depth, 1) for depth in (*_GRAY_ONLY, *_GRAY_OR_RGB)),
        *((*depth, 2) for depth in _GRAY_OR_RGB),
    ],
)
def test_unspecified_samples_of_any_size_are_ignored(bits: int, number: str, photometric: int) -> None:
    count = 3 if photometric == 2 else 1
    base = BASE[..., : count + 1]
    expected: Array = base[..., :-1]
    if number == "f4":
        samples = (base / 255).astype("f4")
    elif number == "i2":
        samples = base.astype("i2")
    elif bits < 8:
        samples = base >> (8 - bits)
        expected = samples[..., :-1] * (255 // ((1 << bits) - 1))
    else:
        samples = base.astype(number) << np.dtype(number).type(bits - 8)
    assert_all(written(samples, photometric, {338: (SHORT, [0])}, bits=bits), expected[..., ::-1])


@pytest.mark.parametrize(("meanings", "alpha"), [((2, 0), 3), ((0, 2), 4), ((0, 0, 0), None), ((0, 1, 2), 4)])
def test_the_first_extra_sample_that_is_alpha_counts(meanings: tuple[int, ...], alpha: int | None) -> None:
    base = BASE[..., : 3 + len(meanings)]
    colours = base[..., :3]
    if alpha is not None:
        cover = base[..., alpha]
        is_premultiplied = meanings[alpha - 3] == 1
        added = np.minimum(colours + (255 - cover.astype(int))[..., np.newaxis], 255)
        colours = added if is_premultiplied else on_white(colours, cover)
    assert_all(written(base, 2, {338: (SHORT, meanings)}), colours[..., ::-1])


def test_palette_with_alpha_and_with_an_unspecified_sample() -> None:
    colours = RNG.integers(0, 256, (256, 3))
    tags = {320: (SHORT, (colours.T.ravel() * 257).tolist())}
    picture = colours[BASE[..., 0]][..., ::-1]
    assert_all(written(BASE[..., :2], 3, {**tags, 338: (SHORT, [0])}), picture)
    assert_all(written(BASE[..., :2], 3, {**tags, 338: (SHORT, [2])}), on_white(picture, BASE[..., 1]))


# --- colour spaces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extras", [0, 1, 2])
def test_inks_become_bgr(bits: int, extras: int) -> None:
    inks = BASE[..., : 4 + extras]
    light = 255 - inks[..., 3:4].astype(int)
    expected = light - (inks[..., :3] * light + 127) // 255
    payloads = written(deep(inks, bits), 5, {338: (SHORT, [0] * extras)} if extras else {})
    assert_all(payloads, expected[..., ::-1])


def upsampled(ycc: Array, across: int, down: int) -> Array:
    """YCbCr whose chroma is that of the upper left pixel of each block."""
    spread = ycc[::down, ::across].repeat(down, axis=0).repeat(across, axis=1)
    made = ycc.copy()
    made[..., 1:] = spread[: ycc.shape[0], : ycc.shape[1], 1:]
    return made


def as_blocks(across: int, down: int) -> Callable[[Array], bytes]:
    def encode_piece(piece: Array) -> bytes:
        padded = np.pad(piece, ((0, -piece.shape[0] % down), (0, -piece.shape[1] % across), (0, 0)), "edge")
        units = []
        for top in range(0, padded.shape[0], down):
            for left in range(0, padded.shape[1], across):
                block = padded[top : top + down, left : left + across]
                units.append(block[..., 0].tobytes() + block[0, 0, 1:].tobytes())
        return b"".join(units)

    return encode_piece


@pytest.mark.parametrize(("across", "down"), list(itertools.product((1, 2, 4), (1, 2, 4))))
def test_ycbcr_becomes_bgr_with_any_subsampling(across: int, down: int) -> None:
    ycc = np.stack([BASE[..., 0], BASE[..., 1] // 4 + 96, BASE[..., 2] // 4 + 96], axis=-1)
    y, cb, cr = np.moveaxis(upsampled(ycc, across, down).astype(float), -1, 0)
    rgb = np.stack(
        [y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)], axis=-1
    )
    expected = np.clip(np.round(rgb), 0, 255)[..., ::-1]
    for order, compression, layout in itertools.product(
        "<>", (NONE, ADOBE_DEFLATE, LZW), ({}, {"strip": 4}, {"tile": (16, 32)})
    ):
        pack = {NONE: bytes, ADOBE_DEFLATE: imagecodecs.zlib_encode, LZW: imagecodecs.lzw_encode}[compression]
        blocks = as_blocks(across, down)
        page = Page(
            ycc,
            6,
            compression,
            tags={530: (SHORT, [across, down])},
            codec=lambda piece, pack=pack, blocks=blocks: bytes(pack(blocks(piece))),
            **layout,
        )
        # The conversion of Pillow is in integers.
        assert_near(pixels(write(page, order=order)), expected, 1)


def test_cielab_becomes_the_bgr_that_pillow_makes_of_it() -> None:
    lab = BASE[..., :3]
    expected = np.asarray(Image.open(io.BytesIO(write(Page(lab, 8)))).convert("RGB"))
    assert_all(written(lab, 8, {}), expected[..., ::-1])


# --- refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (Page(BASE[..., :1], 1, 6), "old-style JPEG compression"),
        (Page(BASE[..., :1], 1, 34712), "JPEG 2000 compression"),
        (Page(BASE[..., :1], 1, 34887), "LERC compression"),
        (Page(BASE[..., :1], 1, 50001), "WebP compression"),
        (Page(BASE[..., :1], 1, 50002), "JPEG XL compression"),
        (Page(BASE[..., :1], 1, 32809), "ThunderScan compression"),
        (Page(BASE[..., :1], 1, 34661), "JBIG compression"),
        (Page(BASE[..., :1], 1, 4242), "unknown (4242) compression"),
        (Page(BASE[..., :1], 1, GROUP_4), "CCITT group 4 fax compression of 8-bit samples"),
        (Page(deep(BASE[..., :1], 16), 1, JPEG), "JPEG compression of 16-bit samples"),
        (Page(BASE[..., :2], 1, JPEG), "JPEG compression of gray with 2 samples per pixel"),
        (Page(BASE[..., :3], 8, JPEG, planar=True), "JPEG compression of CIELab with 3 samples per pixel"),
        (
            Page(BASE[..., :2] >> 7, 1, GROUP_4, bits=1),
            "CCITT group 4 fax compression of gray with 2 samples per pixel",
        ),
        (Page(BASE[..., :1], 32803), "colours of raw data of a camera (CFA)"),
        (Page(BASE[..., :3], 34892), "colours of raw data of a camera (LinearRaw)"),
        (Page(BASE[..., :3], 9), "colours of ICC L*a*b*"),
        (Page(BASE[..., :1], 4), "colours of a transparency mask"),
        (Page(BASE[..., :1], 77), "colours of an unknown kind (77)"),
        (Page(BASE[..., :3], 1), "gray with 2 extra samples per pixel"),
        (Page(BASE[..., :2], 2), "RGB of 2 samples per pixel"),
        (Page(BASE[..., :4], 2, tags={338: (SHORT, [9])}), "an extra sample of an unknown kind (9)"),
        (Page(BASE[..., :2], 3, tags={338: (SHORT, [1])}), "a palette with colours multiplied by alpha"),
        (Page(BASE[..., :2].astype("f4"), 1, tags={338: (SHORT, [2])}), "alpha in gray of 32-bit samples"),
        (Page(BASE[..., :4], 5, tags={332: (SHORT, [2])}), "inks other than cyan, magenta, yellow and black"),
        (Page(BASE[..., :3], 2, tags={258: (SHORT, [5, 6, 5])}), "samples of different sizes (5, 6, 5)"),
        (Page(BASE[..., :3], 2, tags={339: (SHORT, [1, 2, 1])}), "samples of different kinds (1, 2, 1)"),
        (Page(BASE[..., :1], 1, tags={339: (SHORT, [6])}), "complex numbers"),
        (Page(BASE[..., :1], 1, tags={266: (SHORT, [2])}), "reversed bits (FillOrder 2) in 8-bit samples"),
        (Page(BASE[..., :3], 6, planar=True), "YCbCr in separate planes"),
        (Page(BASE[..., :3], 6, tags={530: (SHORT, [3, 1])}), "YCbCr with a subsampling of 3 x 1"),
        (
            Page(
                BASE[..., :3], 6, tags={530: (SHORT, [1, 1]), 529: (RATIONAL, [2126, 10**4, 7152, 10**4, 722, 10**4])}
            ),
            "YCbCr with non-standard coefficients or range",
        ),
        (Page(BASE[..., :1], 1, LZW, predictor=1, tags={317: (SHORT, [9])}), "the unknown (9) predictor on unsigned"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_read_is_refused_by_name_and_with_advice(page: Page, name: str) -> None:
    refusal = rejected(write(page))
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert refusal.detail.startswith(f"TIFF: {name}")
    assert refusal.detail.endswith("; save it as PNG, or as TIFF with LZW or Deflate compression")


def test_a_file_that_does_not_say_whether_0_is_black_is_refused() -> None:
    payload = write(Page(BASE[..., :1]))
    entry = payload.index(b"\x06\x01\x03\0\x01\0\0\0\x01\0")
    refusal = rejected(payload[:entry] + b"\x07\x01" + payload[entry + 2 :])
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert refusal.detail.startswith("TIFF: no photometric interpretation")
