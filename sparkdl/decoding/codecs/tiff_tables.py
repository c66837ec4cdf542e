"""The tables of supported kinds of TIFF; every other kind is refused by name.

`tests/unit/sparkdl/decoding/test_tiff_matrix.py` tests each allowed combination.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ADVICE = "save it as PNG, or as TIFF with LZW or Deflate compression"


class Colour(Enum):
    """The meaning of a pixel's samples."""

    GRAY = "gray"
    RGB = "RGB"
    PALETTE = "palette"
    CMYK = "CMYK"
    YCBCR = "YCbCr"
    LAB = "CIELab"


class Codec(Enum):
    """The library that decodes a strip."""

    NONE = "none"
    LIBTIFF = "libtiff"
    FAX = "libtiff, bits"
    JPEG = "libtiff, JPEG"
    ZLIB = "zlib"
    LZMA = "lzma"


@dataclass(frozen=True, slots=True)
class Photometric:
    """A row of the table of colours.

    Attributes
    ----------
    samples
        Samples per pixel, without extra samples.
    depths
        Bits per sample, by kind of number: "u" unsigned, "i" signed, "f" floating point.
    extras
        Maximum extra samples.
    alpha_bits
        Bits per sample for which one extra sample may be alpha.
    """

    colour: Colour
    samples: int
    depths: dict[str, frozenset[int]]
    extras: int = 0
    alpha_bits: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Compression:
    """A row of the table of compressions.

    Attributes
    ----------
    predicts
        Whether a predictor may be used.
    bits
        Bits per sample; None for all.
    """

    name: str
    codec: Codec
    predicts: bool = False
    bits: frozenset[int] | None = None


_GRAY = Photometric(
    Colour.GRAY,
    1,
    {
        "u": frozenset({1, 2, 4, 8, 10, 12, 14, 16, 32, 64}),
        "i": frozenset({8, 16, 32, 64}),
        "f": frozenset({16, 32, 64}),
    },
    extras=1,
    alpha_bits=frozenset({8, 16}),
)
PHOTOMETRICS = {
    0: _GRAY,
    1: _GRAY,
    2: Photometric(
        Colour.RGB,
        3,
        {"u": frozenset({8, 10, 12, 14, 16, 32}), "f": frozenset({16, 32, 64})},
        extras=3,
        alpha_bits=frozenset({8, 16}),
    ),
    3: Photometric(Colour.PALETTE, 1, {"u": frozenset({1, 2, 4, 8})}, extras=1, alpha_bits=frozenset({8})),
    5: Photometric(Colour.CMYK, 4, {"u": frozenset({8, 16})}, extras=2),
    6: Photometric(Colour.YCBCR, 3, {"u": frozenset({8})}),
    8: Photometric(Colour.LAB, 3, {"u": frozenset({8})}),
}
OTHER_PHOTOMETRICS = {
    4: "a transparency mask",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "raw data of a camera (CFA)",
    32844: "CIE Log2(L)",
    32845: "CIE Log2(L)(u',v')",
    34892: "raw data of a camera (LinearRaw)",
}
_BIT = frozenset({1})
COMPRESSIONS = {
    1: Compression("no", Codec.NONE),
    2: Compression("CCITT RLE", Codec.FAX, bits=_BIT),
    3: Compression("CCITT group 3 fax", Codec.FAX, bits=_BIT),
    4: Compression("CCITT group 4 fax", Codec.FAX, bits=_BIT),
    5: Compression("LZW", Codec.LIBTIFF, predicts=True),
    7: Compression("JPEG", Codec.JPEG, bits=frozenset({8})),
    8: Compression("Deflate", Codec.ZLIB, predicts=True),
    32773: Compression("PackBits", Codec.LIBTIFF),
    32946: Compression("Deflate", Codec.ZLIB, predicts=True),
    34925: Compression("LZMA", Codec.LZMA, predicts=True),
    50000: Compression("Zstandard", Codec.LIBTIFF, predicts=True),
}
OTHER_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG (T.85)",
    10: "JBIG (T.43)",
    32766: "NeXT RLE",
    32771: "CCITT RLE of whole words",
    32809: "ThunderScan",
    32908: "Pixar film",
    32909: "Pixar log",
    32947: "DCS",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34926: "Zstandard (34926)",
    34927: "WebP (34927)",
    34933: "PNG",
    34934: "JPEG XR",
    22610: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
NUMBERS = {1: "u", 2: "i", 3: "f", 4: "u"}  # 4 is "undefined", which programs write for unsigned numbers
NUMBER_NAMES = {"u": "unsigned", "i": "signed", "f": "floating point"}
PREDICTORS: dict[int, dict[str, tuple[int, ...]]] = {
    2: {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)},
    3: {"f": (16, 32, 64)},
}
PREDICTOR_NAMES = {2: "horizontal", 3: "floating point"}
JPEG_SAMPLES = {Colour.GRAY: 1, Colour.RGB: 3, Colour.YCBCR: 3, Colour.CMYK: 4}
SUBSAMPLINGS = frozenset({1, 2, 4})
COEFFICIENTS = (0.299, 0.587, 0.114)
FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
