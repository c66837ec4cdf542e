"""Comparison of TIFF readers: `sparkdl`, Pillow, and tifffile with imagecodecs.

`python benchmarks/tiff_readers.py` prints for each reader how many combinations of a matrix give the right picture, a
wrong one without an error, or are refused. It also prints the time and, on Linux, the peak memory for a picture of
4,000 x 3,000.
"""

from __future__ import annotations

import argparse
import io
import itertools
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support" / "decoding"))

from tiff_files import LOSSLESS, Page, write

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Limits, Rejected

Array = NDArray[Any]
Read = Callable[[bytes], Array | None]
"""Returns [height, width] or [height, width, channels] in RGB; None if it refuses."""

KINDS = [
    *(("u", bits) for bits in (1, 2, 4, 8, 10, 12, 14, 16, 32, 64)),
    *(("i", bits) for bits in (8, 16, 32, 64)),
    *(("f", bits) for bits in (16, 32, 64)),
]
LAYOUTS: tuple[dict[str, Any], ...] = ({}, {"strip": 5}, {"tile": (16, 32)})
LARGE = (3000, 4000)
COMPRESSIONS = ("tiff_lzw", "tiff_adobe_deflate", "jpeg")
_ROUNDS = 5


def by_sparkdl(payload: bytes) -> Array | None:
    decoded = decode(payload, Limits(max_bytes=1 << 30))
    return None if isinstance(decoded, Rejected) else decoded[..., ::-1]


def by_pillow(payload: bytes) -> Array | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(Image.open(io.BytesIO(payload)))
    except Exception:  # noqa: BLE001 - whatever it raises, it refuses
        return None


def by_tifffile(payload: bytes) -> Array | None:
    try:
        with tifffile.TiffFile(io.BytesIO(payload)) as file:
            page: Any = file.pages[0]
            read = page.asarray(maxworkers=1)
            return np.moveaxis(read, 0, -1) if page.planarconfig == 2 and read.ndim == 3 else np.asarray(read)
    except Exception:  # noqa: BLE001 - whatever it raises, it refuses
        return None


READERS: dict[str, Read] = {"sparkdl": by_sparkdl, "pillow": by_pillow, "tifffile": by_tifffile}


def matrix() -> Iterator[tuple[bytes, Array, Array]]:
    """Yield files, their samples as written, and the corresponding picture of 8 bits."""
    rng = np.random.default_rng(7)
    base = rng.integers(0, 256, (21, 37, 3), np.uint8)
    base[0, :2] = [[0] * 3, [255] * 3]
    crossed = itertools.product(
        KINDS, LOSSLESS.values(), (1, 2, 3), "<>", LAYOUTS, (1, 3), (False, True), (False, True)
    )
    for (number, bits), compression, predictor, order, layout, channels, planar, big in crossed:
        can_predict = bits in (8, 16, 32, 64) and compression not in (1, 32773) and (predictor == 2 or number == "f")
        if (predictor > 1 and not can_predict) or (planar and channels == 1):
            continue
        if channels == 3 and (number == "i" or bits < 8 or (number, bits) == ("u", 64)):
            continue
        picture = base[..., :channels]
        if number == "f":
            samples = (picture / 255).astype(f"f{bits // 8}")
        elif number == "i":
            picture = picture >> 1 if bits == 8 else picture
            samples = picture.astype(f"i{bits // 8}")
        elif bits < 8:
            samples = picture >> (8 - bits)
            picture = samples * (255 // ((1 << bits) - 1))
        else:
            size = 1 if bits == 8 else 2 if bits <= 16 else bits // 8
            samples = picture.astype(np.uint64) << np.uint64(bits - 8)
            samples = samples.astype(f"u{size}")
        page = Page(samples, 1 if channels == 1 else 2, compression, predictor, planar, bits, **layout)
        yield write(page, order=order, big=big), samples, picture


def _is_right(read: Array, samples: Array, picture: Array) -> bool:
    """Whether a reader returned the samples, the picture, or an equivalent of 1-bit samples."""
    if read.size != samples.size:
        return False
    read = read.reshape(samples.shape)
    if read.dtype == np.bool_:
        read = read.astype(np.uint8)
    return np.array_equal(read, samples) or np.array_equal(read, picture)


def compare_matrix() -> None:
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in READERS}
    for payload, samples, picture in matrix():
        for name, reader in READERS.items():
            read = reader(payload)
            right = read is not None and _is_right(read, samples, picture)
            outcomes[name]["refused" if read is None else "right" if right else "wrong"] += 1
    print(f"{'reader':<10} {'right':>7} {'wrong':>7} {'refused':>8}")
    for name, counts in outcomes.items():
        print(f"{name:<10} {counts['right']:>7} {counts['wrong']:>7} {counts['refused']:>8}")


def large(compression: str) -> bytes:
    height, width = LARGE
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.dstack([x * 255 // width, y * 255 // height, (x + y) // 32 % 256])
    noisy = smooth + np.random.default_rng(0).normal(0, 4, smooth.shape)
    target = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(target, "TIFF", compression=compression)
    return target.getvalue()


PEAK = """
import re, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import tiff_readers
payload = sys.stdin.buffer.read()
reader = tiff_readers.READERS[{name!r}]
reader(tiff_readers.write(tiff_readers.Page(tiff_readers.np.zeros((16, 16, 3), "u1"), 2, 5)))
def kib(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = kib("VmRSS")
assert reader(payload) is not None
print((kib("VmHWM") - before) >> 10)
"""


def compare_large() -> None:
    print(f"\n{'compression':<20} {'reader':<10} {'seconds':>8} {'MiB':>6}")
    for compression in COMPRESSIONS:
        payload = large(compression)
        seconds: dict[str, list[float]] = {name: [] for name in READERS}
        for _ in range(_ROUNDS):  # in turn, so that each sees the same machine
            for name, reader in READERS.items():
                start = time.perf_counter()
                reader(payload)
                seconds[name].append(time.perf_counter() - start)
        for name, times in seconds.items():
            program = PEAK.format(folder=str(Path(__file__).parent), name=name)
            peak = subprocess.run([sys.executable, "-c", program], input=payload, capture_output=True, check=True)
            print(f"{compression:<20} {name:<10} {min(times):>8.3f} {int(peak.stdout):>6}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=["matrix", "large", "all"], default="all")
    part = parser.parse_args().part
    if part != "large":
        compare_matrix()
    if part != "matrix":
        compare_large()


if __name__ == "__main__":
    main()
