"""Pictures for a decoder process, and what came out of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from sparkdl.decoding.decode import decode
from sparkdl.decoding.isolation.client import Decoded
from sparkdl.images.pixels import Pixels
from sparkdl.images.rejection import Rejected
from training.data.synthetic.digits import draw_png

SLOW_SIDE = 7000


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def white(side: int, mode: str = "RGB") -> bytes:
    """A white picture as a WebP of a few bytes: 49 megapixels are 38 bytes, and take most of a second to decode."""
    return encode(Image.new(mode, (side, side), "white"), "WEBP", lossless=True, method=0)


SLOW = white(SLOW_SIDE)
DIGITS = [draw_png(digit, seed=digit) for digit in range(10)]


def views(payloads: Sequence[bytes | None]) -> list[memoryview | None]:
    return [None if payload is None else memoryview(payload) for payload in payloads]


def results_of(decoded: Decoded) -> list[Pixels | Rejected]:
    """What `decode` would have given, image by image."""
    ends = np.cumsum(decoded.shapes.prod(axis=1))
    return [
        decoded.rejected.get(row)
        or np.frombuffer(decoded.pixels, np.uint8, shape.prod(), end - shape.prod()).reshape(shape)
        for row, (shape, end) in enumerate(zip(decoded.shapes, ends, strict=True))
    ]


def assert_digits(results: Sequence[Pixels | Rejected], payloads: Sequence[bytes] = DIGITS) -> None:
    assert len(results) == len(payloads)
    for result, payload in zip(results, payloads, strict=True):
        assert isinstance(result, np.ndarray), result
        expected = decode(payload)
        assert isinstance(expected, np.ndarray), expected
        assert np.array_equal(result, expected)
