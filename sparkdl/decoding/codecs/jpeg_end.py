"""Find out whether a JPEG without an end-of-image marker has all of its pixels.

A decoder that runs out of entropy-coded data makes some up and says nothing. So the picture is decoded several times,
each time with other bytes behind its data. Where they change no pixel, none was missing. Nor may the data be longer
than the picture: then what follows it may be anything, and hide that something is missing. So without the last two
bytes of data the bytes behind it must change a pixel.
"""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageChops

from sparkdl.formats.containers.jpeg import END

_LENGTH = 96  # bytes, so that what they stand for is large
_TIGHT = 2  # bytes; a byte FF of data has a 00 behind it


def _fillings() -> tuple[bytes, ...]:
    patterns = (b"\0", b"\xff\0", b"\x55", b"\xaa")
    mixed = (bytes((13 * place * place + step * place + step) % 251 for place in range(_LENGTH)) for step in (101, 230))
    return (*((pattern * _LENGTH)[:_LENGTH] for pattern in patterns), *mixed)


_FILLINGS = _fillings()


def has_every_block(image: Image.Image, payload: bytes, load: Callable[[bytes], Image.Image]) -> bool:
    """Return whether no pixel of a JPEG that lacked its end depends on what follows its data.

    Parameters
    ----------
    image
        The picture, decoded.
    payload
        Its file, with the end-of-image marker that was missing.
    load
        Decodes a file as `image` was.
    """
    data = payload[: -len(END)]
    return not any(_differ(image, load(data + filling + END)) for filling in _FILLINGS) and any(
        _differ(image, load(data[:-_TIGHT] + filling + END)) for filling in _FILLINGS
    )


def _differ(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox(alpha_only=False) is not None
