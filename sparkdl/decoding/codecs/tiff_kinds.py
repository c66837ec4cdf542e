"""The kind of a TIFF: the properties that decoding its samples needs, if the kind is supported."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NoReturn

from sparkdl.decoding.codecs.tiff_tables import (
    ADVICE,
    COEFFICIENTS,
    COMPRESSIONS,
    FULL_RANGE,
    JPEG_SAMPLES,
    NUMBER_NAMES,
    NUMBERS,
    OTHER_COMPRESSIONS,
    OTHER_PHOTOMETRICS,
    PHOTOMETRICS,
    PREDICTOR_NAMES,
    PREDICTORS,
    SUBSAMPLINGS,
    Codec,
    Colour,
    Compression,
    Photometric,
)
from sparkdl.formats.containers.structure import reject_corrupt, reject_unsupported
from sparkdl.formats.containers.tiff_directory import (
    BITS,
    COMPRESSION,
    EXTRA_SAMPLES,
    FILL_ORDER,
    INK_SET,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    REFERENCE_BLACK_WHITE,
    SAMPLE_FORMAT,
    SAMPLES,
    YCBCR_COEFFICIENTS,
    YCBCR_SUBSAMPLING,
    Directory,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Properties of a picture that decoding its samples needs.

    Attributes
    ----------
    inverted
        Whether 0 is white.
    number
        "u", "i" or "f".
    samples
        Samples per pixel, including extra samples.
    alpha
        Index of the alpha sample; None if there is none.
    premultiplied
        Whether the colour was multiplied by alpha.
    subsampling
        Pixels per chroma value, horizontally and vertically, in YCbCr that is not JPEG; otherwise (1, 1).
    """

    colour: Colour
    inverted: bool
    number: str
    bits: int
    samples: int
    alpha: int | None
    premultiplied: bool
    compression: int
    codec: Codec
    predictor: int
    reversed_bits: bool
    subsampling: tuple[int, int]

    @property
    def colours(self) -> int:
        """Samples per pixel that are neither alpha nor ignored."""
        return 1 if self.colour in (Colour.GRAY, Colour.PALETTE) else 4 if self.colour is Colour.CMYK else 3

    @property
    def is_converted(self) -> bool:
        """Whether the codec converts YCbCr to RGB."""
        return self.codec is Codec.JPEG and self.colour is Colour.YCBCR


def _refuse(what: str) -> NoReturn:
    reject_unsupported(f"TIFF: {what}; {ADVICE}")


def kind_of(directory: Directory) -> Kind:
    """Return the kind of a picture; raise `Refused`, with the name of the kind, if it is not in the tables.

    An extra sample is alpha if the file says so (1 or 2 in ExtraSamples). An unspecified extra sample (0, or no entry)
    is ignored.
    """
    # Checked before the colour, because programs with a rare compression often describe the colour in a rare way too.
    number = directory.first(COMPRESSION, 1)
    compression = COMPRESSIONS.get(number)
    if compression is None:
        _refuse(f"{OTHER_COMPRESSIONS.get(number, f'unknown ({number})')} compression")
    photometric = directory.first(PHOTOMETRIC, -1)
    row = PHOTOMETRICS.get(photometric)
    if row is None:
        if photometric < 0:
            _refuse("no photometric interpretation, so 0 may be black or white")
        _refuse(f"colours of {OTHER_PHOTOMETRICS.get(photometric, f'an unknown kind ({photometric})')}")
    samples = directory.first(SAMPLES, 1)
    sample_kind, bits = _number_of(directory, samples)
    if bits not in row.depths.get(sample_kind, ()):
        _refuse(f"{row.colour.value} of {NUMBER_NAMES[sample_kind]} {bits}-bit samples")
    if compression.bits is not None and bits not in compression.bits:
        _refuse(f"{compression.name} compression of {bits}-bit samples")
    alpha, premultiplied = _alpha_of(directory, row, samples, bits)
    is_planar = directory.first(PLANAR, 1) == 2 and samples > 1
    kind = Kind(
        row.colour,
        photometric == 0,
        sample_kind,
        bits,
        samples,
        alpha,
        premultiplied,
        number,
        compression.codec,
        _predictor_of(directory, compression, sample_kind, bits),
        directory.first(FILL_ORDER, 1) == 2,
        _subsampling_of(directory, row.colour, compression.codec, is_planar),
    )
    if directory.first(PLANAR, 1) not in (1, 2) or directory.first(FILL_ORDER, 1) not in (1, 2):
        reject_corrupt("TIFF: an unknown order of planes or bits")
    if kind.reversed_bits and (bits != 1 or compression.codec not in (Codec.NONE, Codec.FAX)):
        _refuse(f"reversed bits (FillOrder 2) in {bits}-bit samples with {compression.name} compression")
    per_piece = JPEG_SAMPLES.get(row.colour) if compression.codec is Codec.JPEG else 1
    if compression.codec in (Codec.JPEG, Codec.FAX) and (per_piece is None or (not is_planar and samples != per_piece)):
        _refuse(f"{compression.name} compression of {row.colour.value} with {samples} samples per pixel")
    if row.colour is Colour.CMYK and directory.first(INK_SET, 1) != 1:
        _refuse("inks other than cyan, magenta, yellow and black")
    return kind


def _number_of(directory: Directory, samples: int) -> tuple[str, int]:
    """Return the kind of number and the bits of the samples, which must be the same for all samples."""
    depths = [int(value) for value in directory.numbers.get(BITS, ())[:samples]] or [1]
    formats = [int(value) for value in directory.numbers.get(SAMPLE_FORMAT, ())[:samples]] or [1]
    for what, values in (("sizes", depths), ("kinds", formats)):
        if len(set(values)) > 1:
            _refuse(f"samples of different {what} ({', '.join(map(str, values[:4]))})")
        if 1 < len(values) < samples:
            reject_corrupt(f"TIFF: {samples} samples per pixel, {what} of {len(values)}")
    if formats[0] not in NUMBERS:
        _refuse("complex numbers" if formats[0] in (5, 6) else f"samples of an unknown format ({formats[0]})")
    return NUMBERS[formats[0]], depths[0]


def _alpha_of(directory: Directory, row: Photometric, samples: int, bits: int) -> tuple[int | None, bool]:
    extras = samples - row.samples
    if extras < 0:
        _refuse(f"{row.colour.value} of {samples} samples per pixel")
    if extras > row.extras:
        _refuse(f"{row.colour.value} with {extras} extra samples per pixel")
    meanings = [int(value) for value in directory.numbers.get(EXTRA_SAMPLES, ())[:extras]]
    for index, meaning in enumerate(meanings):
        if meaning in (1, 2):
            if bits not in row.alpha_bits:
                _refuse(f"alpha in {row.colour.value} of {bits}-bit samples")
            if row.colour is Colour.PALETTE and meaning == 1:
                _refuse("a palette with colours multiplied by alpha")
            return row.samples + index, meaning == 1
        if meaning:
            _refuse(f"an extra sample of an unknown kind ({meaning})")
    return None, False


def _predictor_of(directory: Directory, compression: Compression, number: str, bits: int) -> int:
    predictor = directory.first(PREDICTOR, 1)
    if predictor == 1:
        return 1
    name = PREDICTOR_NAMES.get(predictor, f"unknown ({predictor})")
    if not compression.predicts or bits not in PREDICTORS.get(predictor, {}).get(number, ()):
        what = f"{NUMBER_NAMES[number]} {bits}-bit samples with {compression.name} compression"
        _refuse(f"the {name} predictor on {what}")
    return predictor


def _subsampling_of(directory: Directory, colour: Colour, codec: Codec, is_planar: bool) -> tuple[int, int]:
    if colour is not Colour.YCBCR:
        return 1, 1
    if is_planar:
        _refuse("YCbCr in separate planes")
    if codec is Codec.JPEG:
        return 1, 1  # libjpeg upsamples
    values = [int(value) for value in directory.numbers.get(YCBCR_SUBSAMPLING, ())] or [2, 2]
    if len(values) != 2 or not SUBSAMPLINGS.issuperset(values):
        _refuse(f"YCbCr with a subsampling of {' x '.join(map(str, values[:4]))}")
    if directory.first(PREDICTOR, 1) != 1 and values != [1, 1]:
        _refuse("a predictor on subsampled YCbCr")
    for tag, usual in ((YCBCR_COEFFICIENTS, COEFFICIENTS), (REFERENCE_BLACK_WHITE, FULL_RANGE)):
        stated = directory.rationals(tag)
        near = [math.isclose(a, b, abs_tol=1e-3) for a, b in zip(stated, usual, strict=False)]
        if stated and (len(stated) != len(usual) or not all(near)):
            _refuse("YCbCr with non-standard coefficients or range")
    return values[0], values[1]
