"""Conversion of Pillow images to pixels: orientation, transparency, palettes, gray and BGR.

Colour profiles are not applied: the numbers in the file are interpreted as sRGB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from sparkdl.formats.containers.picture import Frame
from sparkdl.images.pixels import Pixels, pack
from sparkdl.images.rejection import Reason, Refused

_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Return a loaded image turned upright, given its EXIF orientation."""
    method = _TRANSPOSES.get(orientation)
    return image if method is None else image.transpose(method)


def place(pixels: Pixels, frame: Frame, orientation: int) -> Pixels:
    """Return the upright canvas: white, with these pixels at their position."""
    height, width, channels = pixels.shape
    canvas = np.full((frame.height, frame.width, channels), 255, np.uint8)
    canvas[frame.top : frame.top + height, frame.left : frame.left + width] = pixels
    image = turn(Image.fromarray(canvas[..., 0] if channels == 1 else canvas), orientation)
    return np.asarray(image).reshape(image.height, image.width, channels)


def to_array(image: Image.Image, *, gray: bool = False) -> Pixels:
    """Return the pixels of a loaded image as uint8 [height, width, 1 or 3], gray or BGR; the array may be read-only.

    With `gray`, the result may be gray as from `to_gray`, where that is faster.

    | in the file                     | here                                                                    |
    | ------------------------------- | ----------------------------------------------------------------------- |
    | 1 bit, gray up to 8 bits        | gray, 0 to 255                                                          |
    | colour of 8 bits                | BGR                                                                     |
    | palette                         | BGR; gray if all its colours are gray, as GIF has no other way to say   |
    | CMYK, YCbCr, L*a*b*             | BGR                                                                     |
    | alpha, a transparent colour     | composited on white; an alpha that is 0 all over a BMP counts as absent |

    Samples of more than 8 bits must already be reduced to 8 bits (`sparkdl.images.ranges`). Raises `Refused` for a mode
    that is not in the table.
    """
    reader = _READERS.get(image.mode)
    if reader is None:
        raise Refused(Reason.UNSUPPORTED_FORMAT, f"{image.format}: pixels of mode {image.mode}")
    return _gray(image) if gray and reader is _bgr and "transparency" not in image.info else reader(image)


def _gray(image: Image.Image) -> Pixels:
    gray = pack(image if image.mode == "L" else image.convert("L"), "L", 1)
    transparent = image.info.get("transparency")
    return gray if transparent is None else np.where(gray == transparent, np.uint8(255), gray)


def _bgr(image: Image.Image) -> Pixels:
    bgr = pack(image, "BGR", 3)
    transparent = image.info.get("transparency")
    if transparent is None:
        return bgr
    return np.where((bgr == transparent[::-1]).all(axis=2, keepdims=True), np.uint8(255), bgr)


def _through_rgb(image: Image.Image) -> Pixels:
    return pack(image.convert("RGB"), "BGR", 3)


def _on_white(image: Image.Image) -> Pixels:
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    if image.format == "BMP" and image.getchannel("A").getbbox() is None:
        # Programs without alpha support leave its byte at 0; the picture is not meant to be invisible.
        return _through_rgb(image)
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image)
    return pack(white, "BGR", 3)


def _gray_on_white(image: Image.Image) -> Pixels:
    if image.mode != "LA":
        image = image.convert("LA")
    white = Image.new("L", image.size, 255)
    white.paste(image.getchannel("L"), mask=image.getchannel("A"))
    return pack(white, "L", 1)


def _palette(image: Image.Image) -> Pixels:
    # Composite the few colours, not the many pixels.
    colours = image.getpalette("RGB")
    if not colours:
        raise Refused(Reason.CORRUPT, f"{image.format}: a palette image without palette")
    # An index beyond the colours is black, as in libpng.
    table = np.zeros((256, 3), np.uint32)
    table.ravel()[: min(len(colours), 768)] = colours[:768]
    alpha = np.full((256, 1), 255, np.uint32)
    transparent = image.info.pop("transparency", None)
    if isinstance(transparent, bytes):
        alpha[: len(transparent), 0] = np.frombuffer(transparent[:256], np.uint8)
    elif isinstance(transparent, int):
        alpha[transparent] = 0
    table = (table * alpha + 255 * (255 - alpha) + 127) // 255
    image.putpalette(table.astype(np.uint8).tobytes())
    is_gray = bool((table == table[:, :1]).all())
    return pack(image.convert("L"), "L", 1) if is_gray else _through_rgb(image)


_READERS: dict[str, Callable[[Image.Image], Pixels]] = {
    "1": _gray,
    "L": _gray,
    "LA": _gray_on_white,
    "P": _palette,
    "RGB": _bgr,
    "RGBA": _on_white,
    "RGBa": _on_white,
    "CMYK": _through_rgb,
    "YCbCr": _through_rgb,
    "LAB": _through_rgb,
}
