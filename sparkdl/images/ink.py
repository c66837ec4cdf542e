"""Ink normalisation: handwriting of any polarity, position and size becomes bright ink filling a square."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sparkdl.errors import RequestError

_INK = 0.35  # of the strongest ink: the threshold of the bounding box
_FULL = 0.98  # quantile of the ink that becomes white, so that one outlier does not dim the stroke

_MAX_SIDE = 1024
"""Maximum side of the square; otherwise a picture of one long line would become a square of its length."""


def check_margin(margin: float, received: object = None) -> float:
    """Return `margin`; raise a RequestError, which states what was `received`, unless it is 0 to 2."""
    if not 0 <= margin <= 2:
        told = margin if received is None else received
        raise RequestError(f"expected margin in 0..2, a fraction of the ink's longer side, received {told!r}")
    return margin


def normalize_ink(gray: NDArray[np.uint8], margin: float = 0.1) -> NDArray[np.uint8]:
    """Return bright ink on black, cropped to its bounding box and centred in a square.

    The paper's level is the median of the image's frame. Ink is the side of that level with the larger deviation; if
    both are equal, the side of the first pixel that deviates. Therefore an image and its negative give the same bytes.
    A blank image stays blank.

    Parameters
    ----------
    gray
        uint8 [H, W].
    margin
        Empty space around the ink on each side, a fraction of the longer side of its bounding box.

    Returns
    -------
    uint8 [S, S], S = the longer side of the bounding box plus both margins. Above 1024, the box is reduced by the
    smallest whole factor that brings S to 1024 or below.
    """
    level = gray.astype(np.float32)
    paper = np.median(np.concatenate((level[0], level[-1], level[:, 0], level[:, -1])))
    deviation = level - paper
    balance = (deviation * np.abs(deviation)).sum() or deviation.flat[np.argmax(deviation != 0)]
    ink = np.maximum(deviation if balance > 0 else -deviation, 0)
    strongest = float(ink.max())
    if strongest == 0:
        return np.zeros((min(max(gray.shape), _MAX_SIDE),) * 2, np.uint8)
    marked = ink >= _INK * strongest
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    full = float(np.quantile(ink[marked], _FULL))
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = np.rint(np.minimum(crop * (255 / full), 255)).astype(np.uint8)
    longer = max(crop.shape)
    factor = next(k for k in itertools.count(1) if _square(-(-longer // k), margin) <= _MAX_SIDE)
    if factor > 1:
        crop = np.asarray(Image.fromarray(crop).reduce(factor))
    height, width = crop.shape
    side = _square(max(height, width), margin)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = crop
    return square


def _square(ink: int, margin: float) -> int:
    """Return the side of the square for ink of this length."""
    return ink + 2 * round(margin * ink)
