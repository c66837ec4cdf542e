"""Arrays of pixels: packing from Pillow images, downscaling, conversion to gray."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from sparkdl.errors import SparkdlError

Pixels = npt.NDArray[np.uint8]
"""uint8 [height, width, channels], row-wise, channels 1 (gray) or 3 (BGR); 4 (BGRA) only where stated."""

MAX_PIXELS = 1 << 20
MAX_SIDE = 2048
"""The largest picture that `downscale` leaves: pixels, and pixels along its longer side.

A square keeps at least 513 x 513, a picture of 3 to 1 at least 888 x 296: more than the 299 x 299 that the largest
network takes, up to that shape.
"""


def pack(image: Image.Image, rawmode: str, channels: int) -> Pixels:
    """Return the bytes of an image as Pillow packs them for `rawmode`: uint8 [height, width, channels], read-only."""
    # Pillow packs BGR itself, five times faster than reversing the channels of an RGB array.
    packed = np.frombuffer(image.tobytes("raw", rawmode), np.uint8)
    return packed.reshape(image.height, image.width, channels)


def downscale_factor(height: int, width: int) -> int:
    """Return the smallest k such that merging k x k pixels reduces a picture to at most `MAX_PIXELS` and `MAX_SIDE`."""
    factor = max(math.isqrt(height * width // MAX_PIXELS), max(height, width) // MAX_SIDE, 1)
    while -(-height // factor) * -(-width // factor) > MAX_PIXELS or -(-max(height, width) // factor) > MAX_SIDE:
        factor += 1
    return factor


def downscale(array: Pixels) -> Pixels:
    """Return a picture whose pixels are means of k x k pixels, k being its `downscale_factor`.

    At the right and lower edges they may be means of fewer pixels.
    """
    height, width, channels = array.shape
    factor = downscale_factor(height, width)
    if factor == 1:
        return array
    # The order of the channels does not matter to Pillow.
    picture = Image.fromarray(array[:, :, 0] if channels == 1 else array).reduce(factor)
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


def composite_on_white(array: Pixels) -> Pixels:
    """Return BGRA, uint8 [H, W, 4], composited on white as uint8 [H, W, 3], with the rounding of `decode`.

    Images with another number of channels are returned unchanged.
    """
    if array.shape[2] != 4:
        return array
    size = array.shape[1], array.shape[0]
    # The order of the colours does not matter to Pillow.
    image = Image.frombytes("RGBA", size, np.ascontiguousarray(array).data)
    white = Image.new("RGB", size, (255, 255, 255))
    white.paste(image, mask=image)
    return pack(white, "RGB", 3)


def to_gray(array: Pixels) -> Pixels:
    """Return the ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B, as uint8 [H, W].

    The input is uint8 [H, W, 1, 3 or 4] (gray, BGR, BGRA).

    Alpha is composited on white first, as in `decode`. An image of one channel is returned as a view.
    Raises `SparkdlError` for any other shape or dtype.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3, 4) or array.size == 0:
        raise SparkdlError(f"expected uint8 [H, W, 1, 3 or 4], received: {array.dtype} {list(array.shape)}")
    array = composite_on_white(array)
    height, width, channels = array.shape
    if channels == 1:
        return array[..., 0]
    image = Image.frombytes("RGB", (width, height), np.ascontiguousarray(array).data, "raw", "BGR")
    return pack(image.convert("L"), "L", 1)[..., 0]
