"""AVIF and HEIC: which pixels, which orientation, which limits, and what is refused.

The expected pixels are those that were encoded. Where nothing is subsampled they come back within 2, by the rounding of
the colour conversion; subsampled colours of these smooth pictures within 12.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from needs import need
from pictures import HAS_HEIC, RGB, SAMPLES, Array, assert_near, encode, heic, over_white, pixels, rejected
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.formats.containers.orientation import orientation_of
from sparkdl.images.rejection import Limits, Reason

SIZES = ((1, 1), (40, 24), (65, 33), (129, 64))
EXACT, SUBSAMPLED = 2, 12
SUBSAMPLINGS = {"4:4:4": EXACT, "4:2:2": SUBSAMPLED, "4:2:0": SUBSAMPLED}
RESTORE: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}
FORMATS = ("AVIF", "HEIC")


def smooth(width: int, height: int) -> Array:
    y, x = np.mgrid[0:height, 0:width]
    planes = (x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) * 255 // max(width + height - 2, 1))
    return np.stack(planes, -1).astype(np.uint8)


def made(name: str, picture: Array, subsampling: str = "4:4:4", orientation: int = 1) -> bytes:
    """A picture of the best quality."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    if name == "AVIF":
        return encode(picture, "AVIF", quality=100, subsampling=subsampling, max_threads=1, exif=exif)
    return heic(picture, quality=-1, chroma=int(subsampling.replace(":", "")), exif=exif.tobytes())


def deep(name: str, picture: Array, bits: int) -> bytes:
    """A picture of more than 8 bits per sample, whose high bytes are those of `picture`."""
    need(HAS_HEIC, "the extra heif is not installed")
    import pillow_heif

    if name == "AVIF":
        need(find_spec("imagecodecs"), "imagecodecs is not installed")
        import imagecodecs

        values = (picture.astype(np.uint16) << (bits - 8)) | (picture >> (16 - bits))
        return bytes(imagecodecs.avif_encode(values, level=100, bitspersample=bits, pixelformat="444"))
    target, before = io.BytesIO(), pillow_heif.options.SAVE_HDR_TO_12_BIT
    pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
    values = (picture.astype(np.uint16) * 257).astype("<u2")
    try:
        pillow_heif.encode("RGB;16", picture.shape[1::-1], values.tobytes(), target, quality=-1, chroma=444)
    finally:
        pillow_heif.options.SAVE_HDR_TO_12_BIT = before
    return target.getvalue()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("orientation", RESTORE)
@pytest.mark.parametrize("name", FORMATS)
def test_colour_and_alpha_are_those_that_were_encoded(
    name: str, orientation: int, subsampling: str, size: tuple[int, int]
) -> None:
    picture, tolerance = smooth(*size), SUBSAMPLINGS[subsampling]
    alpha = np.tile(np.linspace(0, 255, size[0]).astype(np.uint8), (size[1], 1))
    upright = RESTORE[orientation]
    assert_near(pixels(made(name, picture, subsampling, orientation)), upright(picture)[..., ::-1], tolerance)
    translucent = made(name, np.dstack([picture, alpha]), subsampling, orientation)
    assert_near(pixels(translucent), upright(over_white(picture, alpha))[..., ::-1], tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_gray_becomes_one_channel(name: str, size: tuple[int, int]) -> None:
    gray = smooth(*size)[..., 0]
    assert_near(pixels(made(name, gray, "4:0:0" if name == "AVIF" else "4:2:0")), gray[..., np.newaxis], EXACT)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("name", FORMATS)
def test_10_and_12_bits_become_8(name: str, bits: int, size: tuple[int, int]) -> None:
    picture = smooth(*size)
    assert_near(pixels(deep(name, picture, bits)), picture[..., ::-1], EXACT)


@pytest.mark.parametrize("subsampling", SUBSAMPLINGS)
@pytest.mark.parametrize("quality", [20, 75, 100])
def test_avif_is_read_as_another_reader_reads_it(quality: int, subsampling: str) -> None:
    need(find_spec("imagecodecs"), "imagecodecs is not installed")
    import imagecodecs

    noise = np.random.default_rng(quality).integers(0, 256, (48, 64, 3), np.uint8)
    for picture in (noise, smooth(64, 48)):
        payload = encode(picture, "AVIF", quality=quality, subsampling=subsampling, max_threads=1)
        assert_near(pixels(payload), np.asarray(imagecodecs.avif_decode(payload))[..., ::-1], 1)


def test_a_grid_is_put_together() -> None:
    picture = smooth(200, 100)
    payload = heic(picture, quality=-1, chroma=444, tile_size=64)
    assert b"grid" in payload
    assert_near(pixels(payload), picture[..., ::-1], EXACT)


@pytest.mark.parametrize("name", FORMATS)
def test_only_the_container_states_the_orientation(name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    exif[0x010E] = "a camera"
    stated = exif.tobytes()
    payload = heic(RGB, exif=stated) if name == "HEIC" else encode(RGB, "AVIF", max_threads=1, exif=stated)
    # The entry of the description becomes one of the orientation: Pillow leaves that out of AVIF.
    order = "<" if stated[6:8] == b"II" else ">"
    entry = payload.index(struct.pack(f"{order}HH", 0x010E, 2))
    turned = payload[:entry] + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0) + payload[entry + 12 :]
    assert orientation_of([turned[turned.index(stated[6:14]) :]]) == 6
    assert np.array_equal(pixels(turned), pixels(payload))


@pytest.mark.parametrize("junk", [b"junk", b"Exif\0\0junk", b"II*\0\xff\xff\xff\xff"])
def test_exif_that_cannot_be_read_does_not_spoil_the_picture(junk: bytes) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a camera that has much to say"
    payload = encode(RGB, "AVIF", max_threads=1, exif=exif)
    written = exif.tobytes()[6:]
    assert written[:16] in payload
    assert np.array_equal(pixels(payload.replace(written[:16], junk.ljust(16, b"\xee")[:16])), pixels(payload))


def test_the_first_frame_of_an_animation_is_taken() -> None:
    first = encode(RGB, "AVIF", max_threads=1, quality=100)
    assert_near(pixels(SAMPLES["AVIF animated"]), pixels(first), 24)


@pytest.mark.parametrize("name", [sample for sample in SAMPLES if sample.startswith(FORMATS)])
def test_sizes_are_refused_before_the_decoder_sees_them(name: str) -> None:
    payload, at = SAMPLES[name], 0
    while (at := payload.find(b"ispe", at + 1)) > 0:
        larger = payload[: at + 8] + struct.pack(">II", 60_000, 60_000) + payload[at + 16 :]
        assert rejected(larger).reason is Reason.TOO_MANY_PIXELS
        assert rejected(payload[: at + 8] + bytes(8) + payload[at + 16 :]).reason is Reason.CORRUPT


def test_the_size_of_a_grid_counts_too() -> None:
    payload = SAMPLES["HEIC grid"] if HAS_HEIC else heic(RGB)
    description = payload.index(bytes((0, 0, 1, 2)) + struct.pack(">HH", 40, 24))
    larger = payload[: description + 4] + struct.pack(">HH", 60_000, 60_000) + payload[description + 8 :]
    assert rejected(larger).reason is Reason.TOO_MANY_PIXELS


def test_the_size_of_a_track_counts_too() -> None:
    payload = SAMPLES["AVIF animated"]
    entry = payload.index(b"av01", payload.index(b"stsd")) + 28
    assert payload[entry : entry + 4] == struct.pack(">HH", 40, 24)
    larger = payload[:entry] + struct.pack(">HH", 60_000, 60_000) + payload[entry + 4 :]
    assert rejected(larger).reason is Reason.TOO_MANY_PIXELS


def test_a_picture_is_no_larger_than_its_file_says() -> None:
    payload = encode(smooth(400, 300), "AVIF", max_threads=1)
    assert pixels(payload.replace(struct.pack(">II", 400, 300), struct.pack(">II", 40, 30))).shape == (30, 40, 3)


def test_a_picture_of_another_codec_is_named() -> None:
    refusal = rejected(SAMPLES["AVIF"].replace(b"av01", b"vvc1"))
    assert refusal.reason is Reason.UNSUPPORTED_FORMAT
    assert "coded as H.266, which is not read" in refusal.detail


@pytest.mark.parametrize(("name", "codec"), [("AVIF", "PIL._avif"), ("HEIC", "pillow_heif")])
def test_without_its_codec_a_picture_is_refused_with_what_to_install(name: str, codec: str) -> None:
    program = (
        f"import sys; sys.modules[{codec!r}] = None\n"
        "from sparkdl.decoding.decode import decode\n"
        "print(*(lambda rejected: (rejected.reason, rejected.detail))(decode(sys.stdin.buffer.read())))"
    )
    done = subprocess.run([sys.executable, "-c", program], input=SAMPLES[name], capture_output=True, check=True)
    said = done.stdout.decode()
    assert said.startswith("unsupported_format ")
    assert ("sparkdl-streaming[heif]" if name == "HEIC" else "Pillow") in said
    assert "convert it to JPEG" in said


def test_a_large_picture_is_reduced_as_others_are() -> None:
    picture = smooth(2400, 1200)
    reduced = decode(encode(picture, "AVIF", max_threads=1, quality=90), Limits(), reduce=True)
    assert isinstance(reduced, np.ndarray)
    means = picture[..., ::-1].astype(float).reshape(600, 2, 1200, 2, 3).mean(axis=(1, 3))
    assert_near(reduced, means, 8)
