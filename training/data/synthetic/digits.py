"""Draws synthetic handwritten Bengali digits, so that training, testing and the demo need no dataset.

Every sample is drawn from the pen paths of `training.data.synthetic.strokes`; no fonts and no scans of handwriting are
used. Pen (hand, slant, width, pressure), paper (flat, shaded, noisy, ruled), ink, polarity, size and position vary with
a seeded generator. A sample takes about 1 ms on one core.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from sparkdl.errors import RequestError
from training.data.synthetic.curves import Path, paths

CLASSES: tuple[str, ...] = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
"""The labels, in the order of their indices."""

MIN_SIDE, MAX_SIDE = 28, 180
"""The shortest and the longest side of a canvas, pixels, as in NumtaDB's 28-pixel and original images."""

Floats = NDArray[np.floating[Any]]


def draw(digit: int, rng: Generator) -> NDArray[np.uint8]:
    """Draw one random sample of a digit.

    Parameters
    ----------
    digit : int
        0 to 9.
    rng : numpy.random.Generator
        The source of all variation: generators in the same state draw the same sample.

    Returns
    -------
    numpy.ndarray
        uint8 [H, W, 3] RGB or [H, W] gray, H and W from 28 to 180.

    Raises
    ------
    RequestError
        If the digit is not one of 0 to 9.

    Examples
    --------
    >>> import numpy as np
    >>> draw(7, np.random.default_rng(1)).dtype
    dtype('uint8')
    """
    _check(digit)
    strokes = _write(paths(digit), rng)
    size, strokes, extent = _place(strokes, rng)
    ink = _trace(strokes, size, extent, rng)
    return _develop(ink, rng)


def draw_png(digit: int, seed: int) -> bytes:
    """Return ``draw(digit, default_rng([seed, digit]))`` as a PNG file: the same bytes for the same arguments.

    The seed is 0 or more. Raises `RequestError` for a digit outside 0 to 9.
    """
    _check(digit)
    file = io.BytesIO()
    Image.fromarray(draw(digit, np.random.default_rng([seed, digit]))).save(file, "PNG")
    return file.getvalue()


def _check(digit: int) -> None:
    if digit not in range(len(CLASSES)):
        raise RequestError(f"no such digit: expected an integer from 0 to 9, received: {digit!r}")


def _write(forms: tuple[Path, ...], rng: Generator) -> list[Floats]:
    """Return one handwriting of the digit: strokes as float64 [samples, 2], about 1 across, at any position."""
    shares = np.cumsum([form.share for form in forms])
    form = forms[int(np.searchsorted(shares, rng.random() * shares[-1]))]
    mixture = rng.dirichlet(np.full(len(form.poses), 0.5))
    points = np.tensordot(mixture, form.poses, axes=1)
    points = points + rng.normal(0.0, rng.uniform(0.01, 0.05), points.shape)
    rounding = rng.random()
    curve = (rounding * form.smooth + (1.0 - rounding) * form.sharp) @ points

    # Bend the whole sheet slightly: neighbouring strokes move together, as in one person's handwriting.
    x, y = curve[:, 0], curve[:, 1]
    terms = np.stack([x * x, x * y, y * y], axis=1)
    curve = curve + terms @ rng.normal(0.0, 0.16, (3, 2))

    angle, slant = rng.normal(0.0, 0.15), rng.normal(0.0, 0.2)
    stretch = np.exp(rng.normal(0.0, 0.17))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lean = np.array([[stretch, 0.0], [-slant, 1.0 / stretch]])
    curve = curve @ lean @ turn

    strokes = []
    for part in form.strokes:
        early, late = rng.integers(0, 4, 2)
        strokes.append(curve[part.start + early : part.stop - late])
    return strokes


def _place(strokes: list[Floats], rng: Generator) -> tuple[tuple[int, int], list[Floats], float]:
    """Return the canvas (width, height), the strokes in its pixels, and the digit's longer side in pixels."""
    every = np.concatenate(strokes)
    low = every.min(axis=0)
    spread = every.max(axis=0) - low
    longest = float(spread.max())
    # A third are cropped tightly, like scanned forms; the others are on a much larger card.
    close = rng.random() < 0.35
    side = MIN_SIDE if rng.random() < 0.25 else int(np.exp(rng.uniform(np.log(MIN_SIDE), np.log(MAX_SIDE + 1))))
    share = rng.uniform(0.78, 0.94) if close else rng.uniform(0.3, 0.75)
    extent = max(share * side, 10.0)
    scale = extent / longest
    box = np.array([side, side])
    if close and rng.random() < 0.6:
        box = np.maximum(MIN_SIDE, np.ceil(spread * scale + side - extent)).astype(int)
    room = box - spread * scale
    # The middle of a card is more likely than its edge.
    corner = room * np.clip(rng.normal(0.5, 0.17, 2), 0.08, 0.92)
    return (int(box[0]), int(box[1])), [(stroke - low) * scale + corner for stroke in strokes], extent


def _trace(strokes: list[Floats], size: tuple[int, int], extent: float, rng: Generator) -> Floats:
    """Return the amount of ink on each pixel: float32 [H, W], 0 to 1."""
    zoom = 4 if max(size) < 64 else 3 if max(size) < 110 else 2
    sheet = Image.new("L", (size[0] * zoom, size[1] * zoom))
    pen = ImageDraw.Draw(sheet)
    width = zoom * max(1.0, extent * float(np.clip(0.085 * np.exp(rng.normal(0.0, 0.42)), 0.03, 0.22)))
    press = rng.uniform(0.0, 0.3)
    for stroke in strokes:
        waves = np.sin(np.linspace(0.0, rng.uniform(2.0, 9.0), len(stroke)) + rng.uniform(0.0, 6.3))
        radii = width / 2 * (1.0 + press * waves)
        if rng.random() < 0.12:  # the pen rests, and a blot forms
            radii[rng.choice((0, -1))] *= rng.uniform(1.2, 2.0)
        dots = stroke * zoom
        boxes = np.concatenate([dots - radii[:, None], dots + radii[:, None]], axis=1).tolist()
        steps = np.concatenate([dots[:-1], dots[1:]], axis=1).tolist()
        widths = np.rint(radii[:-1] + radii[1:]).astype(int).tolist()
        for box in boxes:
            pen.ellipse(box, fill=255)
        for step, wide in zip(steps, widths, strict=True):
            pen.line(step, fill=255, width=wide)
    if rng.random() < 0.05:  # a speck of dirt
        x, y = rng.uniform(0.05, 0.95, 2) * sheet.size
        pen.ellipse((x, y, x + width / 2, y + width / 2), fill=200)
    sheet = sheet.reduce(zoom)
    if rng.random() < 0.5:
        sheet = sheet.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.012 * extent + 0.7)))
    ink = np.asarray(sheet, dtype=np.float32) / 255.0
    if rng.random() < 0.25:  # a scanner's hard contrast
        ink = np.clip((ink - 0.5) * rng.uniform(1.5, 6.0) + 0.5, 0.0, 1.0)
    return ink


def _develop(ink: Floats, rng: Generator) -> NDArray[np.uint8]:
    """Return the picture of ink [H, W] on paper: uint8 [H, W] or [H, W, 3]."""
    height, width = ink.shape
    gray = rng.random() < 0.45
    light = rng.uniform(175.0, 255.0)
    dark = rng.uniform(0.0, min(110.0, light - 90.0))
    tones = np.array([light, dark], dtype=np.float32)[:, None]
    papers = tones
    if not gray:
        papers = np.clip(tones + rng.normal(0.0, [[7.0], [22.0]], (2, 3)), 0.0, 255.0).astype(np.float32)
    paper, colour = papers if rng.random() < 0.6 else papers[::-1]
    contrast = light - dark

    shade = np.zeros((height, width), dtype=np.float32)
    if rng.random() < 0.35:
        down, across = rng.uniform(-0.12, 0.12, 2) * contrast
        shade = shade + np.linspace(-down, down, height, dtype=np.float32)[:, None]
        shade = shade + np.linspace(-across, across, width, dtype=np.float32)
    if rng.random() < 0.15:
        rule = rng.uniform(0.05, 0.14) * contrast * (1.0 if paper.mean() < 128.0 else -1.0)
        gap = int(rng.integers(max(7, height // 6), max(9, height // 2)))
        shade[int(rng.integers(gap)) :: gap] += rule
        if rng.random() < 0.4:
            shade[:, int(rng.integers(gap)) :: gap] += rule
    if rng.random() < 0.6:
        noise = rng.standard_normal((height, width), dtype=np.float32)
        shade = shade + noise * np.float32(rng.uniform(0.005, 0.05) * contrast)

    if not gray:
        shade, ink = shade[..., None], ink[..., None]
    picture: Floats = paper + shade + ink * (colour - paper)
    return np.clip(picture, 0.0, 255.0).astype(np.uint8)
