"""Out-of-distribution pictures: they show no digit, to measure how confident a digit classifier is on them."""

from __future__ import annotations

import io
import string
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.interpolate import CubicSpline
from sklearn.datasets import load_sample_images

from training.data.loading import Dataset, LabelledImage
from training.fitting.augmentation import augment

Pixels = NDArray[np.uint8]

_SIDE = 96
_FACES = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSansMono", "STIXGeneralItalic", "cmmi10")
_LETTERS = "".join(sorted(set(string.ascii_letters) - set("oOqQ")))  # without those that look like a Bengali digit


def _letter(rng: Generator) -> Pixels:
    """Draw a Latin letter in a Matplotlib font, with the data augmentation of handwriting."""
    face = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{rng.choice(_FACES)}.ttf"
    picture = Image.new("L", (_SIDE, _SIDE))
    font = ImageFont.truetype(str(face), _SIDE * 2 // 3)
    ImageDraw.Draw(picture).text((_SIDE / 2, _SIDE / 2), rng.choice(list(_LETTERS)), 255, font, "mm")
    return augment(np.asarray(picture, np.uint8), rng)


def _scribble(rng: Generator) -> Pixels:
    """Draw one line back and forth."""
    turns = rng.uniform(0.15, 0.85, (int(rng.integers(5, 11)), 2)) * _SIDE
    line = CubicSpline(np.arange(len(turns)), turns)(np.linspace(0, len(turns) - 1, 40 * len(turns)))
    picture = Image.new("L", (_SIDE, _SIDE), 235)
    ImageDraw.Draw(picture).line([(x, y) for x, y in line], 30, int(rng.integers(2, 6)), "curve")
    return np.asarray(picture)


def _blank_page(rng: Generator) -> Pixels:
    """Draw blank paper of any tone, with grain and shade."""
    x, y = np.meshgrid(np.linspace(-1, 1, _SIDE), np.linspace(-1, 1, _SIDE))
    shade = rng.normal(0, 8, 2)
    grain = rng.normal(0, rng.uniform(0, 5), (_SIDE, _SIDE))
    tone = rng.uniform(40, 245) + shade[0] * x + shade[1] * y
    return np.asarray(np.clip(tone + grain, 0, 255), np.uint8)


def _photo(rng: Generator) -> Pixels:
    """Return a crop of one of scikit-learn's two sample photographs, in colour."""
    images = load_sample_images().images
    image: Pixels = images[int(rng.integers(len(images)))]
    side = int(rng.integers(64, min(image.shape[:2])))
    top, left = (int(rng.integers(extent - side + 1)) for extent in image.shape[:2])
    part = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(part.resize((180, 180)), np.uint8)


def _noise(rng: Generator) -> Pixels:
    """Random pixels."""
    return np.asarray(rng.integers(0, 256, (_SIDE, _SIDE), np.uint8))


KINDS: Mapping[str, Callable[[Generator], Pixels]] = {
    "Latin letters": _letter,
    "scribbles": _scribble,
    "blank pages": _blank_page,
    "parts of photographs": _photo,
    "noise": _noise,
}


def draw_kind(kind: str, count: int) -> Dataset:
    """Draw `count` pictures of one kind, as PNG, without labels."""
    images = []
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(KINDS[kind](np.random.default_rng(number))).save(file, "PNG")
        images.append(LabelledImage(f"{number}.png", "", payload=file.getvalue()))
    return Dataset(kind, tuple(images))
