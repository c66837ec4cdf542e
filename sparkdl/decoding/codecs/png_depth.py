"""PNG of 16 bits per sample to 8 bits, by the range rule; Pillow returns only the high bytes of colours."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from sparkdl.formats.containers.png_chunks import chunks
from sparkdl.images.ranges import alpha_scale, scale_of

Samples = npt.NDArray[np.uint16]

_GRAY, _RGB, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 4, 6
_SIGNIFICANT_BYTES = {_GRAY: 1, _RGB: 3, _GRAY_ALPHA: 2, _RGB_ALPHA: 4}
_LOW_BYTES = {_RGB: ("RGB", "RGB;16L"), _GRAY_ALPHA: ("RGBA", "RGBA"), _RGB_ALPHA: ("RGBA", "RGBA;16L")}
"""Mode and raw mode with which Pillow returns all bytes: 16-bit numbers with the low byte first, or all four bytes of
gray with alpha."""


def is_deep(payload: bytes) -> bool:
    """Return whether a PNG has 16 bits per sample."""
    return payload[24:25] == b"\x10"


def to_eight_bits(image: PngImageFile, payload: bytes) -> Image.Image:
    """Return a loaded PNG of 16 bits as an image of 8 bits by `sparkdl.images.ranges.scale_of`.

    Its transparent colour, which is compared with all 16 bits, becomes alpha. A picture without a transparent colour
    that uses the upper three quarters of the range needs no second decoding.
    """
    kind, stated = payload[25], _stated_depth(payload)
    transparent = image.info.get("transparency")
    if kind == _GRAY:
        samples = np.asarray(image).astype(np.uint16)[..., np.newaxis]
    elif transparent is None and stated in (None, 16) and _uses_all_bits(image, kind):
        return image
    else:
        samples = _samples(image, payload, kind)
    has_alpha = kind in (_GRAY_ALPHA, _RGB_ALPHA)
    colours = np.ascontiguousarray(samples[..., :-1]) if has_alpha else samples
    scale = scale_of(colours, depth=stated)
    alpha = None
    if has_alpha:
        alpha = alpha_scale(samples[..., -1], scale).apply(np.ascontiguousarray(samples[..., -1]))
    elif transparent is not None:
        alpha = np.where((samples == np.asarray(transparent, np.uint16)).all(axis=2), np.uint8(0), np.uint8(255))
    del samples
    eight = scale.apply(colours)
    del colours
    made = Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight)
    if kind == _GRAY_ALPHA:
        made = made.convert("RGB")  # the mode that Pillow uses
    if alpha is not None:
        made.putalpha(Image.fromarray(alpha))
    made.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return made


def _stated_depth(payload: bytes) -> int | None:
    """Return the maximum depth in the chunk sBIT: the number of significant bits of the original samples.

    The standard stores them in the upper bits, but many programs store them in the lower ones. The range rule decides.
    """
    for chunk in chunks(payload):
        if chunk.kind == b"IDAT":
            break
        if chunk.kind == b"sBIT" and chunk.stop - chunk.start == _SIGNIFICANT_BYTES.get(payload[25]):
            depth = max(payload[chunk.start : chunk.stop])
            return depth if 8 <= depth <= 16 else None
    return None


def _uses_all_bits(image: Image.Image, kind: int) -> bool:
    high = np.asarray(image)[..., : 1 if kind == _GRAY_ALPHA else 3]
    return scale_of(high.astype(np.uint16) << 8).shift == 8


def _samples(image: Image.Image, payload: bytes, kind: int) -> Samples:
    mode, rawmode = _LOW_BYTES[kind]
    again = PngImageFile(io.BytesIO(payload))
    again._mode = mode
    again.tile = [tile._replace(args=rawmode) for tile in again.tile]
    again.load()
    low = np.asarray(again)
    del again
    if kind == _GRAY_ALPHA:
        return low.view(">u2").astype(np.uint16)
    samples = np.empty(low.shape, np.uint16)
    samples[...] = np.asarray(image)
    samples <<= 8
    samples |= low
    return samples
