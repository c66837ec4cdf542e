"""Check whether a JPEG without an end-of-image marker has all of its pixels.

A decoder that runs out of entropy-coded data invents some without an error. Therefore the picture is decoded several
times, each time with other bytes after its data. If no pixel changes, no data is missing. The data must not be longer
than the picture either, because then the bytes after it would have no effect even if something is missing. Therefore,
without the last few bytes of the data, the bytes after it must change a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from PIL import Image, ImageChops

from sparkdl.formats.containers.jpeg import END

_LENGTH = 96  # appended bytes, enough to affect a large part of the picture
_TIGHT = (2, 8)
"""Bytes at the end of the data of which some must have an effect; few do in the last scan of a progressive picture."""
_FIRST_RESTART = 0xD0
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_PATTERNS = tuple((pattern * _LENGTH)[:_LENGTH] for pattern in (b"\0", b"\xff\0", b"\x55", b"\xaa"))
_MIXTURES = tuple(
    bytes((13 * place * place + step * place + step) % 251 for place in range(_LENGTH)) for step in (101, 230)
)


def has_every_block(image: Image.Image, payload: bytes, load: Callable[[bytes], Image.Image]) -> bool:
    """Return whether no pixel of a JPEG without its end marker depends on the bytes after its data.

    Parameters
    ----------
    image
        The decoded picture.
    payload
        Its file, with the missing end-of-image marker added.
    load
        Decodes a file in the same way as `image`; raises `OSError` if that is not possible.
    """
    data = payload[: -len(END)]
    return not any(_differ(image, filled, load) for filled in _filled(data)) and any(
        _differ(image, filled, load) for tight in _TIGHT for filled in _filled(data[:-tight])
    )


def _filled(data: bytes) -> Iterator[bytes]:
    """Yield the data with other bytes appended: in the current restart interval, and as a new restart interval."""
    for filling in (*_MIXTURES, *_PATTERNS):
        yield data + filling + END
    restarts = _RESTART.findall(data, data.rindex(b"\xff\xda"))
    number = (restarts[-1][0] - _FIRST_RESTART + 1) % 8 if restarts else 0
    for filling in _MIXTURES:
        yield data + bytes((0xFF, _FIRST_RESTART + number)) + filling + END


def _differ(image: Image.Image, payload: bytes, load: Callable[[bytes], Image.Image]) -> bool:
    try:
        other = load(payload)
    except OSError:
        return True
    return ImageChops.difference(image, other).getbbox(alpha_only=False) is not None
