"""Decoding time of normal pictures, compared with the shortest time limit that earlier slow images can cause.

`python benchmarks/decoding_time.py`
"""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.time_limit import AdaptiveTimeout
from sparkdl.images.rejection import DEFAULT_LIMITS

MEGAPIXELS = (1, 3, 12, 24)
FORMATS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PNG", "PNG", {}),
    ("JPEG", "JPEG", {"quality": 90}),
    ("progressive JPEG", "JPEG", {"quality": 90, "progressive": True}),
    ("WebP", "WEBP", {"quality": 80, "method": 0}),
    ("GIF", "GIF", {}),
    ("TIFF, LZW", "TIFF", {"compression": "tiff_lzw"}),
    ("BMP", "BMP", {}),
    ("AVIF", "AVIF", {"quality": 80, "speed": 10, "max_threads": 1}),
)
_ROUNDS = 3


def pictures(megapixels: int) -> dict[str, NDArray[np.uint8]]:
    """Return pictures, uint8 [H, W, 3], of 4 to 3: a smooth one, which compresses well, and one with camera noise."""
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    width = round(megapixels * 1e6 / height)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.dstack([x * 255 // width, y * 255 // height, (x + y) % 256]).astype(np.uint8)
    noise = np.random.default_rng(0).normal(0, 12, smooth.shape)
    return {"smooth": smooth, "noisy": (smooth + noise).clip(0, 255).astype(np.uint8)}


def main() -> None:
    adaptive = AdaptiveTimeout(DEFAULT_LIMITS.timeout)
    print(f"{'picture':<36} {'KiB':>6} {'seconds':>8} {'least limit':>12}")
    for megapixels in MEGAPIXELS:
        for kind, pixels in pictures(megapixels).items():
            for name, image_format, options in FORMATS:
                target = io.BytesIO()
                Image.fromarray(pixels).save(target, image_format, **options)
                payload = target.getvalue()
                if len(payload) > DEFAULT_LIMITS.max_bytes:
                    continue
                seconds = min(_seconds(payload) for _ in range(_ROUNDS))
                limit = adaptive.min_limit(len(payload))
                late = "" if seconds < limit else " too slow"
                what = f"{megapixels} megapixels, {kind} {name}"
                print(f"{what:<36} {len(payload) >> 10:>6} {seconds:>8.3f} {limit:>12.2f}{late}", flush=True)


def _seconds(payload: bytes) -> float:
    began = time.perf_counter()
    decode(payload, DEFAULT_LIMITS, reduce=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
