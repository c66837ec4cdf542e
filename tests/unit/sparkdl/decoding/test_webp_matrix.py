"""WebP: lossy and lossless, with and without alpha, still and animated, in containers of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from pictures import Array, assert_near, encode, over_white, pixels, rejected
from PIL import Image
from webp_files import animation, frame, header, part, parts_of, riff

from sparkdl.images.rejection import Reason

CODECS = {"lossless": {"lossless": True, "exact": True}, **{f"quality {q}": {"quality": q} for q in (10, 60, 95)}}
ALPHAS = ("none", "opaque", "partial")
SIZES = ((1, 1), (16, 16), (21, 33))


def picture(height: int, width: int, alpha: str) -> Array:
    random = np.random.default_rng(height)
    coarse = random.integers(0, 256, (-(-height // 4), -(-width // 4), 3), np.uint8)
    rgb = coarse.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    if alpha == "none":
        return rgb
    cover = np.full((height, width), 255, np.uint8)
    if alpha == "partial":
        cover = (np.arange(height * width, dtype=np.uint16).reshape(height, width) * 7 % 256).astype(np.uint8)
    return np.dstack([rgb, cover])


def alone(payload: bytes) -> list[bytes]:
    return [part(kind, data) for kind, data in parts_of(payload) if kind in (b"ALPH", b"VP8 ", b"VP8L")]


def with_metadata(payload: bytes, height: int, width: int) -> bytes:
    junk = np.random.default_rng(0).bytes(3001)
    flags = 0x2C | (0x10 if b"ALPH" in payload else 0)
    return riff(
        header(width, height, flags), part(b"ICCP", junk), *alone(payload), part(b"EXIF", junk), part(b"XMP ", junk)
    )


def second_frame(height: int, width: int) -> bytes:
    return frame(encode(Image.new("RGB", (width, height), "red"), "WEBP", lossless=True), 0, 0, width, height)


def animated(payload: bytes, height: int, width: int) -> bytes:
    first = frame(payload, 0, 0, width, height, flags=1)
    return animation(first, second_frame(height, width), width=width, height=height)


CONTAINERS: dict[str, Callable[[bytes, int, int], bytes]] = {
    "plain": lambda payload, *_: payload,
    "metadata": with_metadata,
    "animated": animated,
    "cut in its second frame": lambda payload, *size: animated(payload, *size)[:-9],
    "size too small": lambda payload, *_: payload[:4] + bytes([8, 0, 0, 0]) + payload[8:],
    "size too large": lambda payload, *_: payload[:4] + b"\xff\xff\0\0" + payload[8:],
    "junk behind": lambda payload, *_: payload + b"\xff" * 99,
    "chunk behind that is cut": lambda payload, *_: payload + b"EXIF\xff\0\0\0ab",
}
KINDS = list(itertools.product(CODECS, ALPHAS, SIZES, CONTAINERS))


def second_reader(payload: bytes) -> Array:
    """As libwebp in OpenCV reads it, composited on white."""
    read = np.asarray(cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_UNCHANGED))
    return over_white(read[..., :3], read[..., 3]) if read.shape[2] == 4 else read


@pytest.mark.parametrize(("codec", "alpha", "size", "container"), KINDS)
def test_every_kind_of_webp_gives_the_pixels_of_its_first_picture(
    codec: str, alpha: str, size: tuple[int, int], container: str
) -> None:
    array = picture(*size, alpha)
    still = encode(array, "WEBP", **CODECS[codec])
    decoded = pixels(CONTAINERS[container](still, *size))
    tolerance = 1 if alpha == "partial" else 0  # of compositing
    assert_near(decoded, second_reader(still), tolerance)
    if codec == "lossless":
        shown = over_white(array[..., :3], array[..., 3]) if array.shape[2] == 4 else array
        assert_near(decoded, shown[..., ::-1], tolerance)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("flags", [0, 0x10])
@pytest.mark.parametrize("cut", [0, 5])
def test_a_first_frame_that_does_not_fill_its_canvas_lies_on_white(
    codec: str, alpha: str, flags: int, cut: int
) -> None:
    still = encode(picture(16, 20, alpha), "WEBP", **CODECS[codec])
    frames = frame(still, 6, 8, 20, 16), second_frame(40, 50)
    payload = animation(*frames, width=50, height=40, flags=flags)
    expected = np.full((40, 50, 3), 255)
    expected[8:24, 6:26] = second_reader(still)
    assert_near(pixels(payload[: len(payload) - cut]), expected, 1 if alpha == "partial" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("codec", CODECS)
def test_orientation_turns_the_canvas(codec: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    array = picture(16, 20, "none")
    still = encode(array, "WEBP", **CODECS[codec])
    stated = part(b"EXIF", exif.tobytes())
    upright = pixels(animation(frame(still, 6, 8, 20, 16), width=50, height=40))
    turned = pixels(animation(frame(still, 6, 8, 20, 16), stated, width=50, height=40, flags=8))
    turns = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.swapaxes(0, 1),
        6: np.rot90(upright, -1), 7: np.rot90(upright, 2).swapaxes(0, 1), 8: np.rot90(upright),
    }  # fmt: skip
    assert np.array_equal(turned, turns[orientation])


def test_a_frame_that_contradicts_its_picture_or_canvas_is_corrupt() -> None:
    still = encode(picture(16, 20, "none"), "WEBP")
    for payload in (
        animation(frame(still, 0, 0, 20, 15), width=50, height=40),
        animation(frame(still, 32, 0, 20, 16), width=50, height=40),
        riff(header(21, 16, 0), *alone(still)),
        riff(header(20, 16, 0), part(b"EXIF", b"")),
        riff(header(20, 16, 2), *alone(still)),
    ):
        assert rejected(payload).reason is Reason.CORRUPT


def test_a_picture_whose_own_chunk_is_cut_is_truncated() -> None:
    for alpha in ALPHAS:
        still = encode(picture(16, 20, alpha), "WEBP", quality=60)
        kind, data = parts_of(still)[-1]
        end = still.index(kind + len(data).to_bytes(4, "little")) + 8 + len(data)
        for cut in (1, 2, 10):
            assert rejected(still[: end - cut]).reason is Reason.TRUNCATED
