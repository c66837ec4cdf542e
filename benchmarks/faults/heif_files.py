"""AVIF and HEIC pictures to damage, and the boxes that they consist of."""

from __future__ import annotations

import io
from importlib.util import find_spec

from PIL import Image


def box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def avif(image: Image.Image, *more: Image.Image) -> bytes:
    target = io.BytesIO()
    image.save(target, "AVIF", max_threads=1, speed=9, save_all=bool(more), append_images=more)
    return target.getvalue()


def heic(image: Image.Image, tile_size: int = 0) -> bytes | None:
    """Return a HEIC file; None if the extra `heif` is not installed."""
    if find_spec("pillow_heif") is None:
        return None
    import pillow_heif

    target = io.BytesIO()
    pillow_heif.from_pillow(image).save(target, tile_size=tile_size)
    return target.getvalue()


def heif_images(colour: Image.Image, gray: Image.Image, alpha: Image.Image) -> dict[str, bytes]:
    made = {
        "AVIF": avif(colour),
        "AVIF gray": avif(gray),
        "AVIF RGBA": avif(alpha),
        "AVIF animated": avif(colour, colour.rotate(90), colour.rotate(180)),
        "HEIC": heic(colour),
        "HEIC gray": heic(gray),
        "HEIC RGBA": heic(alpha),
        "HEIC grid": heic(colour, tile_size=32),
    }
    return {name: image for name, image in made.items() if image}
