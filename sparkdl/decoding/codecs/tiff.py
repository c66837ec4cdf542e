"""TIFF to pixels: the first full picture of a file, if its kind is supported.

This module reads the directory itself and uses libraries only as codecs: libtiff for LZW, PackBits, Zstandard, fax and
JPEG strips, zlib and lzma for the rest (`sparkdl.decoding.codecs.tiff_samples`). `docs/reference/formats.md` compares
it with other readers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from sparkdl.decoding.codecs.conversion import to_array
from sparkdl.decoding.codecs.tiff_kinds import Kind, kind_of
from sparkdl.decoding.codecs.tiff_samples import Array, read_samples
from sparkdl.decoding.codecs.tiff_tables import Colour
from sparkdl.formats.containers.structure import reject_corrupt
from sparkdl.formats.containers.tiff import read_layout
from sparkdl.formats.containers.tiff_directory import (
    COLOR_MAP,
    GDAL_NO_DATA,
    MAX_SAMPLE_VALUE,
    ORIENTATION,
    Directory,
    first_picture,
)
from sparkdl.images.pixels import Pixels
from sparkdl.images.ranges import alpha_scale, scale_of
from sparkdl.images.rejection import Reason, Refused

BYTES_A_PIXEL = 8
"""Maximum bytes of samples per pixel, for a picture with the maximum number of pixels."""

_ORIENTATIONS: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def decode_tiff(payload: bytes, max_pixels: int) -> Pixels:
    """Decode a TIFF that passed its scan into uint8 [height, width, 1 or 3], gray or BGR.

    | in the file                         | here                                                              |
    | ----------------------------------- | ----------------------------------------------------------------- |
    | gray or RGB up to 8 bits            | 0 to 255                                                          |
    | gray or RGB of more than 8 bits, signed, float | by `sparkdl.images.ranges.scale_of`                    |
    | 0 is white                          | inverted                                                          |
    | palette                             | BGR, or gray if all its colours are; a map of 8 bits as it is     |
    | CMYK, YCbCr, CIELab                 | BGR                                                               |
    | alpha                               | composited on white; unspecified extra samples are ignored        |

    Raises
    ------
    Refused
        For a kind that is not in `sparkdl.decoding.codecs.tiff_tables`, and for damage.
    """
    directory = first_picture(payload)
    kind = kind_of(directory)
    layout = read_layout(payload, directory)
    size = layout.width * layout.height * kind.samples * kind.bits // 8
    if size > BYTES_A_PIXEL * max_pixels:
        detail = f"{size} bytes of samples, at most {BYTES_A_PIXEL * max_pixels} are allowed"
        raise Refused(Reason.TOO_MANY_PIXELS, f"TIFF: {detail}")
    pixels = _CONVERSIONS[kind.colour](read_samples(payload, directory, layout, kind), kind, directory)
    turn = _ORIENTATIONS.get(directory.first(ORIENTATION, 1))
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _gray_or_bgr(samples: Array, kind: Kind, directory: Directory) -> Pixels:
    colours = samples if kind.alpha is None else np.ascontiguousarray(samples[..., :-1])
    alpha = None if kind.alpha is None else samples[..., -1]
    if kind.bits < 8:
        colours = colours * np.uint8(255 // ((1 << kind.bits) - 1))
    elif kind.bits > 8 or kind.number != "u":
        scale = scale_of(colours, depth=_stated_depth(kind, directory), no_data=_no_data(directory))
        colours = scale.apply(colours)
        if alpha is not None:
            alpha = alpha_scale(alpha, scale).apply(np.ascontiguousarray(alpha))
    if kind.inverted:
        colours = 255 - colours
    return colours if alpha is None else _on_white(colours, alpha, premultiplied=kind.premultiplied)


def _stated_depth(kind: Kind, directory: Directory) -> int | None:
    """Return the number of bits that the file states for its data."""
    if kind.number != "u":
        return None
    if kind.bits % 8:
        return kind.bits
    greatest = directory.first(MAX_SAMPLE_VALUE)
    return greatest.bit_length() if 255 <= greatest < 1 << kind.bits else None


def _no_data(directory: Directory) -> float | None:
    text = directory.raw.get(GDAL_NO_DATA, b"").rstrip(b"\0 ").decode("latin-1")
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _on_white(colours: Pixels, alpha: npt.NDArray[np.uint8], *, premultiplied: bool) -> Pixels:
    if premultiplied:
        added: Pixels = np.minimum(colours.astype(np.uint16) + (255 - alpha)[..., np.newaxis], 255).astype(np.uint8)
        return added
    mode = "L" if colours.shape[2] == 1 else "RGB"
    white = Image.new(mode, (colours.shape[1], colours.shape[0]), "white")
    image = Image.fromarray(colours[..., 0] if mode == "L" else colours)
    white.paste(image, mask=Image.fromarray(np.ascontiguousarray(alpha)))
    return np.asarray(white).reshape(colours.shape)  # the order of the channels does not matter to Pillow


def _palette(samples: Array, kind: Kind, directory: Directory) -> Pixels:
    colours = 1 << kind.bits
    stored = directory.numbers.get(COLOR_MAP)
    if stored is None or len(stored) < 3 * colours:
        reject_corrupt(f"TIFF: a palette of {0 if stored is None else len(stored)} values, expected {3 * colours}")
    wide = stored[: 3 * colours].reshape(3, colours).T[:, ::-1]  # B, G, R
    # Some programs write colours of 8 bits, against the standard; libtiff detects them in the same way.
    table: Pixels = (wide if int(wide.max()) <= 255 else wide >> np.uint64(8)).astype(np.uint8)
    if (table == table[:, :1]).all():
        table = table[:, :1]
    pixels: Pixels = np.ascontiguousarray(table)[samples[..., 0]]
    return pixels if kind.alpha is None else _on_white(pixels, samples[..., -1], premultiplied=False)


def _through_pillow(mode: str) -> Callable[[Array, Kind, Directory], Pixels]:
    def convert(samples: Array, kind: Kind, directory: Directory) -> Pixels:
        eight = (samples >> 8).astype(np.uint8) if kind.bits == 16 else samples
        return to_array(Image.frombuffer(mode, (eight.shape[1], eight.shape[0]), eight, "raw", mode, 0, 1))

    return convert


_ycbcr = _through_pillow("YCbCr")


def _ycbcr_or_rgb(samples: Array, kind: Kind, directory: Directory) -> Pixels:
    return np.ascontiguousarray(samples[..., ::-1]) if kind.is_converted else _ycbcr(samples, kind, directory)


_CONVERSIONS: dict[Colour, Callable[[Array, Kind, Directory], Pixels]] = {
    Colour.GRAY: _gray_or_bgr,
    Colour.RGB: _gray_or_bgr,
    Colour.PALETTE: _palette,
    Colour.CMYK: _through_pillow("CMYK"),
    Colour.YCBCR: _ycbcr_or_rgb,
    Colour.LAB: _through_pillow("LAB"),
}
