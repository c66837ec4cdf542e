"""Decoding of AVIF and HEIC, whose codecs are optional: Pillow has AVIF, the extra `heif` has HEIC."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import Image, features

from sparkdl.decoding.codecs.conversion import turn
from sparkdl.decoding.codecs.pillow_private import AvifFile
from sparkdl.formats.containers.structure import CheckSize
from sparkdl.images.rejection import Reason, Refused

MISSING = {
    "AVIF": "AVIF: the installed Pillow was built without it: convert it to JPEG, or install a wheel of Pillow",
    "HEIC": "HEIC photo: convert it to JPEG, or install sparkdl-streaming[heif] on the workers",
}
"""Details of dead letters for pictures whose codec is not installed."""


def is_readable(name: str) -> bool:
    """Return whether the codec of AVIF or HEIC is installed."""
    return _HAS_CODEC[name]()


def check_codec(name: str) -> None:
    """Raise `Refused` (unsupported format, with what to install) if the codec of AVIF or HEIC is missing."""
    if name in MISSING and not is_readable(name):
        raise Refused(Reason.UNSUPPORTED_FORMAT, MISSING[name])


def open_heif(name: str, payload: bytes, check_size: CheckSize) -> Image.Image:
    """Return the primary picture of an AVIF or HEIC, or the first frame of an animation, loaded and upright.

    The payload must have passed its scan. The container states the orientation.
    """
    if name == "AVIF":
        avif = AvifFile(payload)
        check_size(*avif.size)
        return turn(avif.load(), avif.orientation)
    image: Image.Image = _plugin().HeifImageFile(io.BytesIO(payload))
    check_size(*image.size)
    image.load()  # already upright
    return image


@cache
def _plugin() -> Any:
    """Return the Pillow plugin of pillow-heif, configured to decode pictures only."""
    options: Any = importlib.import_module("pillow_heif.options")
    options.DECODE_THREADS = 0
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return importlib.import_module("pillow_heif.as_plugin")


@cache
def _has_heic() -> bool:
    try:
        _plugin()
        importlib.import_module("_pillow_heif")  # as_plugin would raise the error only later
    except ImportError:
        return False
    return True


@cache
def _has_avif() -> bool:
    return bool(features.check("avif"))


_HAS_CODEC: dict[str, Callable[[], bool]] = {"AVIF": _has_avif, "HEIC": _has_heic}
