"""Promises of the memory that a decoder process takes: a stated bound, pictures reduced to what is needed of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
import pytest
from isolated import DIGITS, SLOW_SIDE, assert_digits, encode, results_of, views, white
from pictures import heic, png
from PIL import Image
from tiff_files import ADOBE_DEFLATE, Page, write

from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.images.pixels import MAX_PIXELS, MAX_SIDE
from sparkdl.images.rejection import Limits, Reason, Rejected


@pytest.fixture
def decoder() -> Iterator[DecoderClient]:
    made = DecoderClient(Limits())
    yield made
    made.close()


def test_a_picture_that_needs_more_memory_than_allowed_has_too_many_pixels() -> None:
    decoder = DecoderClient(Limits(), memory=300 * 2**20)
    try:
        large = encode(Image.new("RGB", (SLOW_SIDE, SLOW_SIDE)), "PNG", compress_level=1)
        results = results_of(decoder.decode(views([*DIGITS[:5], large])))
        assert results[5] == Rejected(Reason.TOO_MANY_PIXELS, "PNG: out of memory")
        assert_digits(results[:5], DIGITS[:5])
        assert_digits(results_of(decoder.decode(views(DIGITS))))
    finally:
        decoder.close()
    assert decoder.starts == 1


def test_a_decoder_has_no_more_memory_after_many_images(decoder: DecoderClient) -> None:
    batch = views([*DIGITS, b"broken", DIGITS[0][:200]])

    def own_memory_after(images: int) -> int:
        for _ in range(images // len(batch)):
            decoder.decode(batch)
        assert decoder.pid is not None
        return int(psutil.Process(decoder.pid).memory_full_info().uss)

    before = own_memory_after(2_000)
    assert own_memory_after(10_000) < before + 2**18
    assert decoder.starts == 1


SIDE = 2000


def deep_page(channels: int, number: str, *, bright: float = 40_000, predictor: int = 1) -> Page:
    """One Deflate strip of the largest picture, with alpha where there are four samples."""
    samples = np.full((SIDE, SIDE, channels), bright).astype(number)
    samples[::2] = 3
    tags: dict[int, Any] = {338: (3, [2])} if channels == 4 else {}
    return Page(samples, 1 if channels == 1 else 2, ADOBE_DEFLATE, predictor=predictor, tags=tags)


def translucent() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 4), np.uint8)).resize(
        (SIDE, SIDE)
    )


MODES: dict[str, Callable[[], bytes]] = {
    "PNG RGBA": lambda: encode(Image.new("RGBA", (SIDE, SIDE), (1, 2, 3, 4)), "PNG", compress_level=1),
    "JPEG CMYK progressive": lambda: encode(Image.new("CMYK", (SIDE, SIDE)), "JPEG", progressive=True),
    "WEBP RGBA": lambda: white(SIDE, "RGBA"),
    "TIFF LAB": lambda: encode(Image.new("LAB", (SIDE, SIDE)), "TIFF", compression="tiff_lzw"),
    "TIFF float": lambda: encode(Image.fromarray(np.full((SIDE, SIDE), np.nan, np.float32)), "TIFF"),
    "TIFF RGBA of 16 bits": lambda: write(deep_page(4, "u2")),
    "TIFF RGB of 16 bits, dark": lambda: write(deep_page(3, "u2", bright=2)),
    "TIFF of 64 bits": lambda: write(deep_page(1, "f8", bright=-70_000)),
    "TIFF of 64 bits, predicted": lambda: write(deep_page(1, "f8", bright=-70_000, predictor=3)),
    "PNG RGBA of 16 bits, dark": lambda: png(SIDE, SIDE, 16, 6, [bytes([2, 9] * 4 * SIDE)] * SIDE),
    "GIF": lambda: encode(Image.new("P", (SIDE, SIDE)), "GIF"),
    "AVIF RGBA": lambda: encode(translucent(), "AVIF", speed=10, max_threads=1, subsampling="4:4:4"),
    "HEIC RGBA": lambda: heic(translucent()),
    "HEIC grid": lambda: heic(Image.new("RGB", (SIDE, SIDE)), tile_size=512),
}


@pytest.mark.parametrize("mode", MODES)
def test_the_largest_picture_admitted_fits_into_the_memory_allowed(mode: str) -> None:
    decoder = DecoderClient(Limits(max_pixels=SIDE * SIDE, max_bytes=4 * SIDE * SIDE + 10_000))
    try:
        (result,) = results_of(decoder.decode(views([MODES[mode]()])))
    finally:
        decoder.close()
    assert isinstance(result, np.ndarray), result


PEAK = """
import resource, sys, threading, time, psutil
from sparkdl.decoding.isolation.client import DecoderClient
from sparkdl.images.rejection import Limits
payload, count = sys.stdin.buffer.read(), int(sys.argv[1])
decoder, peak, ended = DecoderClient(Limits(max_pixels=16_000_000, max_bytes=1_000_000)), 0, threading.Event()
decoder.decode([])
def watch():
    global peak
    while not ended.wait(0.005):
        if decoder.pid:
            both = psutil.Process(), psutil.Process(decoder.pid)
            peak = max(peak, sum(process.memory_info().rss for process in both))
before = psutil.Process().memory_info().rss
watcher = threading.Thread(target=watch)
watcher.start()
decoded = decoder.decode([memoryview(payload)] * count)
ended.set()
watcher.join()
print(peak - before)
for refusal in set(map(str, decoded.rejected.values())):
    print(refusal)
"""


def test_a_batch_of_large_pictures_stays_below_the_stated_memory() -> None:
    count, pixels = 20, 16_000_000
    command = [sys.executable, "-c", PEAK, str(count)]
    payload = white(4000)
    done = subprocess.run(command, input=payload, capture_output=True, check=True)
    peak, *refusals = done.stdout.decode().splitlines()
    assert refusals == []
    # A decoder, what it needs for one picture, the shared memory (resident in both), and 3 MiB an image.
    bound = 60 * 2**20 + 22 * pixels + 2 * (64 + 2) * 2**20 + count * 3 * 2**20
    assert int(peak) < bound
    assert bound < count * 3 * pixels  # what the pixels alone would be


def test_a_picture_above_a_megapixel_is_reduced_by_a_whole_factor_of_its_own(decoder: DecoderClient) -> None:
    ramp = np.add.outer(np.arange(3000), np.arange(2100)) // 20
    large = np.repeat(ramp.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    (alone,) = results_of(decoder.decode(views([encode(Image.fromarray(large), "PNG", compress_level=1)])))
    assert isinstance(alone, np.ndarray)
    means = large.astype(float).reshape(1000, 3, 700, 3, 3).mean(axis=(1, 3))
    assert np.abs(alone - means).max() <= 0.5


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1024, 1024, (1024, 1024)),
        (1025, 1024, (513, 512)),
        (7000, 7000, (1000, 1000)),
        (2048, 10, (2048, 10)),
        (2049, 10, (1025, 5)),
        (1, 30_000, (1, 2000)),
    ],
)
def test_the_factor_is_the_least_that_keeps_pixels_and_sides(
    decoder: DecoderClient, width: int, height: int, expected: tuple[int, int]
) -> None:
    (result,) = results_of(decoder.decode(views([encode(Image.new("1", (width, height)), "PNG")])))
    assert isinstance(result, np.ndarray)
    assert result.shape == (*expected[::-1], 1)
    assert expected[0] * expected[1] <= MAX_PIXELS
    assert max(expected) <= MAX_SIDE
