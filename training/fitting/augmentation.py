"""Data augmentation of handwriting: variation of writer, pen, paper and scanner. For training images only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from sparkdl.images.ink import normalize_ink

SIDE = 64
"""Side of an augmented image, pixels."""
_MARGIN = 0.3  # around the ink, so that it can be rotated
_CELLS = 4  # per side of the grid of displacements that bends the sheet

Floats = NDArray[np.floating[Any]]
Gray = NDArray[np.uint8]


def augment(gray: Gray, rng: Generator, *, scan: bool = True) -> Gray:
    """Return an augmented picture of the same character.

    The character is rotated, slanted, stretched and bent, and its strokes get thinner or thicker. With `scan`, some
    pictures also have a part missing or come from a coarse, blurred or high-contrast scan, and half are put on paper of
    any tone, with noise and shade, dark on light or light on dark.

    Parameters
    ----------
    gray
        uint8 [H, W], handwriting of any polarity, position and size.
    rng
        The source of all variation.
    scan
        Whether to vary paper and scan in addition to handwriting and pen.

    Returns
    -------
    uint8 [64, 64], to be normalized like any other picture.
    """
    square = Image.fromarray(normalize_ink(gray, _MARGIN)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    ink = _rewrite(np.asarray(square, np.float32), rng)
    ink = _change_pen(ink, rng)
    if not scan:
        return ink.astype(np.uint8)
    if rng.random() < 0.1:
        ink = _cover(ink, rng)
    ink = _scan(ink, rng)
    return _put_on_paper(ink, rng) if rng.random() < 0.5 else ink.astype(np.uint8)


def _rewrite(ink: Floats, rng: Generator) -> Floats:
    """Imitate another writer: an affine map of the square, and a smooth bend."""
    angle, slant, stretch = np.deg2rad(rng.normal(0, 8)), rng.normal(0, 0.13), np.exp(rng.normal(0, 0.1))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    (a, b), (c, d) = rotation @ np.array([[stretch, slant], [0, 1 / stretch]])
    middle = (SIDE - 1) / 2
    axis = np.arange(SIDE, dtype=np.float32) - middle
    x, y = np.meshgrid(axis, axis)
    bends = rng.normal(0, 0.025 * SIDE, (2, _CELLS, _CELLS)).astype(np.float32)
    right, down = (_smooth(bend) for bend in bends)
    coordinates = [c * x + d * y + down + middle, a * x + b * y + right + middle]
    return np.asarray(np.clip(ndimage.map_coordinates(ink, coordinates, order=1, mode="constant"), 0, 255))


def _smooth(bend: Floats) -> Floats:
    return np.asarray(Image.fromarray(bend).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _change_pen(ink: Floats, rng: Generator) -> Floats:
    """Make strokes up to 1.6 pixels wider or narrower on either side."""
    change = rng.uniform(-1.6, 1.6)
    picture = Image.fromarray(ink.astype(np.uint8))
    wider = ImageFilter.MaxFilter(3) if change > 0 else ImageFilter.MinFilter(3)
    whole, part = divmod(abs(change), 1)
    for _ in range(int(whole)):
        picture = picture.filter(wider)
    return np.asarray(Image.blend(picture, picture.filter(wider), part), np.float32)


def _cover(ink: Floats, rng: Generator) -> Floats:
    height, width = rng.integers(SIDE // 16, SIDE // 5, 2)
    top, left = (int(rng.integers(SIDE // 5, SIDE - SIDE // 5 - extent)) for extent in (height, width))
    ink = ink.copy()
    ink[top : top + height, left : left + width] = 0
    return ink


def _scan(ink: Floats, rng: Generator) -> Floats:
    picture = Image.fromarray(ink.astype(np.uint8))
    if rng.random() < 0.35:  # coarse
        side = int(rng.integers(20, 48))
        picture = picture.resize((side, side), Image.Resampling.BOX).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    elif rng.random() < 0.3:  # out of focus
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.5)))
    ink = np.asarray(picture, np.float32)
    if rng.random() < 0.3:  # high contrast
        ink = np.clip((ink - 128) * rng.uniform(1.2, 4) + 128, 0, 255)
    return ink


def _put_on_paper(ink: Floats, rng: Generator) -> Gray:
    light = rng.uniform(150, 255)
    dark = rng.uniform(0, light - 70)
    contrast = light - dark
    texture = rng.normal(0, rng.uniform(0, 0.06) * contrast, ink.shape)
    if rng.random() < 0.5:
        across, down = rng.normal(0, 0.08 * contrast, 2)
        axis = np.linspace(-1, 1, SIDE)
        texture = texture + across * axis + down * axis[:, None]
    paper, colour = (light, dark) if rng.random() < 0.6 else (dark, light)
    return np.clip(paper + texture + ink / 255 * (colour - paper), 0, 255).astype(np.uint8)
