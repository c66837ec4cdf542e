"""Loading of an opened picture, with all of its pixels or not at all."""

from __future__ import annotations

import io

from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from sparkdl.decoding.codecs.jpeg_end import has_every_block
from sparkdl.decoding.codecs.png_depth import is_deep, to_eight_bits
from sparkdl.decoding.codecs.png_rows import lacks_rows
from sparkdl.formats.containers.picture import Picture
from sparkdl.images.rejection import Reason, Refused

_INDICES = 256
_SHALLOW: dict[object, int] = {"L;2": 85, "L;4": 17}
"""The 8-bit step between gray levels of 2 and of 4 bits."""


def load(image: Image.Image, picture: Picture, factor: int) -> Image.Image:
    """Load the pixels of an opened picture and return it; raise `Refused` if some are missing.

    Parameters
    ----------
    factor
        The downscaling factor. A JPEG is decoded at half, a quarter or an eighth of its size.
    """
    if isinstance(image, PngImageFile):
        return _load_png(image, picture.payload)
    if isinstance(image, JpegImageFile):
        _load_jpeg(image, picture, factor)
    elif isinstance(image, GifImageFile):
        _load_gif(image, picture)
    else:
        image.load()
    return image


def _load_png(image: PngImageFile, payload: bytes) -> Image.Image:
    transparent, rawmode = image.info.get("transparency"), image.tile[0].args if image.tile else None
    if isinstance(transparent, int) and rawmode in _SHALLOW:
        image.info["transparency"] = transparent * _SHALLOW[rawmode]  # Pillow scales the pixels but not this colour
    image.load()
    if lacks_rows(image, payload):
        raise Refused(Reason.CORRUPT, "PNG: the pixel data ends before the last row")
    return to_eight_bits(image, payload) if is_deep(payload) else image


def _load_jpeg(image: JpegImageFile, picture: Picture, factor: int) -> None:
    size = (max(image.width // factor, 1), max(image.height // factor, 1)) if factor > 1 else None
    if not picture.is_cut:
        _load_at_size(image, size)
        return
    try:
        is_whole = has_every_block(
            _load_at_size(image, size),
            picture.payload,
            lambda payload: _load_at_size(JpegImageFile(io.BytesIO(payload)), size),
        )
    except OSError:
        is_whole = False
    if not is_whole:
        raise Refused(Reason.TRUNCATED, f"JPEG: {len(picture.payload)} bytes, ends before the last block of pixels")


def _load_at_size(image: JpegImageFile, size: tuple[int, int] | None) -> JpegImageFile:
    if size is not None:
        image.draft(None, size)
    image.load()
    return image


def _load_gif(image: GifImageFile, picture: Picture) -> None:
    try:
        image.load()
    except OSError:
        missing = Refused(Reason.CORRUPT, "GIF: the pixel data ends before the last row")
        if picture.is_cut:
            missing = Refused(Reason.TRUNCATED, f"GIF: {len(picture.payload)} bytes, ends before the last row")
        raise missing from None
    used = image.histogram()[picture.colours :] if picture.colours < _INDICES else []
    transparent = image.info.get("transparency", -1) - picture.colours
    if any(count for index, count in enumerate(used) if index != transparent):
        raise Refused(Reason.CORRUPT, f"GIF: a colour beyond the {picture.colours} of its table")
