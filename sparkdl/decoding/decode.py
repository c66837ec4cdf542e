"""Decoding of untrusted bytes to pixels: the only place where Pillow reads untrusted bytes.

It runs in the calling process, so a crash of a codec crashes the process; `sparkdl.decoding.isolation.client` runs it
in a separate one.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from sparkdl.decoding.codecs.bmp import open_bmp
from sparkdl.decoding.codecs.codec_output import suppress_codec_output
from sparkdl.decoding.codecs.conversion import place, to_array, turn
from sparkdl.decoding.codecs.damage import damage_of
from sparkdl.decoding.codecs.heif_pictures import check_codec, open_heif
from sparkdl.decoding.codecs.loading import load
from sparkdl.decoding.codecs.tiff import decode_tiff
from sparkdl.formats.containers.picture import Picture
from sparkdl.formats.containers.structure import CheckSize
from sparkdl.formats.mangled import passed_through_text
from sparkdl.formats.scan import scan
from sparkdl.formats.signatures import identify
from sparkdl.images.pixels import Pixels, downscale, downscale_factor, to_gray
from sparkdl.images.rejection import DEFAULT_LIMITS, Limits, Reason, Refused, Rejected

# The plugins are called directly, not through `Image.open`: no other plugin ever sees untrusted bytes, and Pillow's
# limit on pixels, one number for the whole process, is neither used nor changed.
_DECODERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "BMP": open_bmp,
    "GIF": GifImageFile,
    "WEBP": WebPImageFile,
}


def decode(
    payload: bytes | None, limits: Limits = DEFAULT_LIMITS, *, reduce: bool = False, gray: bool = False
) -> Pixels | Rejected:
    """Decode an image of any supported format to uint8 [height, width, channels], channels 1 (gray) or 3 (BGR).

    The array is C-contiguous and may be read-only. EXIF orientation is applied, transparency is composited on white,
    and only the first frame of an animation or page of a document is decoded.
    `sparkdl.decoding.codecs.conversion.to_array` has the table of modes, `sparkdl.decoding.codecs.tiff.decode_tiff`
    that of TIFF, and `sparkdl.images.ranges.scale_of` the rule for samples of more than 8 bits. With `reduce`, a
    picture larger than `sparkdl.images.pixels.MAX_PIXELS` or `MAX_SIDE` is downscaled to at most that; a JPEG, as
    far as possible, by decoding it at a half, a quarter or an eighth of its size. With `gray`, colour is converted
    as by `sparkdl.images.pixels.to_gray`.

    Never raises, warns or prints: an image that cannot be decoded is returned as a `Rejected`. Damage is detected as
    far as the format allows: always in PNG, which has checksums; in GIF, JPEG, TIFF and WebP only if it breaks the
    structure or the code; never in the pixels of an uncompressed BMP or TIFF, which have no redundancy.
    """
    if not payload:
        return Rejected(Reason.EMPTY, "null" if payload is None else "0 bytes")
    if len(payload) > limits.max_bytes:
        return Rejected(Reason.TOO_MANY_BYTES, f"more than the {limits.max_bytes} allowed bytes")

    name = "image"

    def check_size(width: int, height: int) -> None:
        if width < 1 or height < 1:
            raise Refused(Reason.CORRUPT, f"{name}: {width} x {height} pixels")
        if width * height > limits.max_pixels:
            detail = f"{width} x {height} = {width * height} pixels, at most {limits.max_pixels} are allowed"
            raise Refused(Reason.TOO_MANY_PIXELS, f"{name}: {detail}")

    try:
        name = identify(payload).name
        check_codec(name)
        picture = scan(name, payload, check_size)
        with suppress_codec_output():
            pixels = _decode_whole(name, picture, check_size, limits, reduce, gray)
        pixels = downscale(pixels) if reduce else pixels
        return to_gray(pixels)[..., np.newaxis] if gray else pixels
    except Refused as refused:
        return _explained(name, refused.rejected, payload)
    except (MemoryError, Image.DecompressionBombError) as error:
        return Rejected(Reason.TOO_MANY_PIXELS, f"{name}: {str(error) or 'out of memory'}")
    except Exception as error:  # noqa: BLE001 - hostile bytes can raise anything; nothing may escape
        return _explained(name, Rejected(Reason.CORRUPT, f"{name}: {damage_of(error)}"), payload)


def _explained(name: str, rejected: Rejected, payload: bytes) -> Rejected:
    """Return the rejection with the cause of the damage, if the bytes show it."""
    if rejected.reason in (Reason.CORRUPT, Reason.TRUNCATED) and (cause := passed_through_text(payload)):
        return Rejected(rejected.reason, f"{name}: {cause}")
    return rejected


def _decode_whole(
    name: str, picture: Picture, check_size: CheckSize, limits: Limits, reduce: bool, gray: bool
) -> Pixels:
    payload = picture.payload
    if name == "TIFF":
        return decode_tiff(payload, limits.max_pixels)
    if name in ("AVIF", "HEIC"):
        image = open_heif(name, payload, check_size)
        factor = downscale_factor(image.height, image.width) if reduce else 1
        return to_array(image, gray=gray and factor == 1)
    image = _DECODERS[name](io.BytesIO(payload))
    check_size(*image.size)
    height, width = (image.height, image.width) if picture.frame is None else picture.frame[1::-1]
    factor = downscale_factor(height, width) if reduce else 1
    image = load(image, picture, factor)
    if picture.frame is None:
        image = turn(image, picture.orientation)
    # The gray of averaged colours differs from the average of grays.
    pixels = to_array(image, gray=gray and factor == 1)
    return pixels if picture.frame is None else place(pixels, picture.frame, picture.orientation)
