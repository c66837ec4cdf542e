"""Negatives: pictures of ink without a character, which teach a network that not every picture has a class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Squares = NDArray[np.uint8]

_OVERSAMPLING = 4  # lines are drawn larger and reduced


def make_negatives(squares: Squares, count: int, rng: Generator) -> Squares:
    """Make pictures that show no character.

    Parameters
    ----------
    squares
        uint8 [N, side, side]: bright ink on black, at least one character.
    count
        The number of negatives.
    rng
        The source of all variation.

    Returns
    -------
    uint8 [count, side, side]: patchworks of several characters, scribbled lines, and blots and grain as on paper and in
    photographs.
    """
    kinds = rng.integers(len(_KINDS), size=count)
    made = [_KINDS[kind](squares, rng) for kind in kinds]
    return np.stack(made) if made else np.empty((0, *squares.shape[1:]), np.uint8)


def _patchwork(squares: Squares, rng: Generator) -> Squares:
    """Make pictures of four quarters of random characters, each moved to another corner."""
    side = squares.shape[1]
    half = side // 2
    corners = [(0, 0), (0, half), (half, 0), (half, half)]
    made = np.zeros((side, side), np.uint8)
    for number, (top, left) in enumerate(corners):
        picture = squares[rng.integers(len(squares))]
        above, beside = corners[(number + rng.integers(1, 4)) % 4]
        made[top : top + half, left : left + half] = picture[above : above + half, beside : beside + half]
    return made


def _lines(squares: Squares, rng: Generator) -> Squares:
    """Make pictures of one or two lines that turn more often than those of a character."""
    side = squares.shape[1]
    picture = Image.new("L", (side * _OVERSAMPLING, side * _OVERSAMPLING))
    pen = ImageDraw.Draw(picture)
    width = int(rng.integers(2, 5)) * _OVERSAMPLING * side // 32
    for _ in range(rng.integers(1, 3)):
        turns = rng.uniform(0.08, 0.92, (int(rng.integers(5, 10)), 2)) * side * _OVERSAMPLING
        if rng.random() < 0.5:  # rounded
            turns = np.stack([ndimage.zoom(turns[:, axis], 6, order=3) for axis in (0, 1)], axis=1)
        pen.line([(x, y) for x, y in turns], 255, width, "curve")
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX))


def _texture(squares: Squares, rng: Generator) -> Squares:
    """Make pictures of noise of any contrast, from grain to a few large blots."""
    side = squares.shape[1]
    noise = ndimage.gaussian_filter(rng.normal(size=(side, side)), rng.uniform(0, side / 6))
    span = float(np.ptp(noise)) or 1.0
    contrast = rng.uniform(1, 8)
    level = (noise - noise.min()) / span - rng.uniform(0.3, 0.7)
    return np.asarray(np.clip((level * contrast + 0.5) * 255, 0, 255).astype(np.uint8))


_KINDS: tuple[Callable[[Squares, Generator], Squares], ...] = (_patchwork, _lines, _texture)
