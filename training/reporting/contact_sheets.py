"""Sheets of pictures: images above what was predicted for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from sparkdl.decoding.decode import decode
from sparkdl.images.rejection import Rejected
from sparkdl.system.terminal import printable
from training.data.loading import LabelledImage
from training.evaluation.evaluate import Evaluation
from training.reporting.fonts import Lettering, has_letter

LARGEST = 40
"""Pictures on a sheet."""
_TILE = 96  # pixels a side
_GAP, _LINE = 8, 16  # pixels between tiles, and a line of words
_COLUMNS = 8
_POINTS = 11
_WIDEST = 200  # characters of a line, before it is measured


class Writer:
    """Writes a line of words on a picture, each letter in the first font that has it."""

    def __init__(self, pen: ImageDraw.ImageDraw, lettering: Lettering) -> None:
        self._pen = pen
        self._fonts = [(FT2Font(str(p)), ImageFont.truetype(str(p), _POINTS)) for p in lettering.fonts]

    def _runs(self, words: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """`words` in parts of one font each; what joins letters stays with them."""
        start, current = 0, 0
        for place, letter in enumerate(words):
            able = [i for i, (font, _) in enumerate(self._fonts) if has_letter(font, letter)] or [0]
            best = current if place and current in able and not letter.isascii() else able[0]
            if best != current and place > start:
                yield words[start:place], self._fonts[current][1]
                start = place
            current = best
        yield words[start:], self._fonts[current][1]

    def width(self, words: str) -> float:
        """Pixels."""
        return sum(self._pen.textlength(part, font=font) for part, font in self._runs(words))

    def write(self, left: float, baseline: float, words: str, colour: str) -> None:
        """Writes one line that begins at (`left`, `baseline`)."""
        for part, font in self._runs(words):
            self._pen.text((left, baseline), part, fill=colour, font=font, anchor="ls")
            left += self._pen.textlength(part, font=font)

    def shorten(self, words: str, width: float) -> str:
        """`words`, cut to `width` pixels."""
        words = printable(" ".join(words.split()))[:_WIDEST]
        if self.width(words) <= width:
            return words
        while words and self.width(f"{words}…") > width:
            words = words[:-1]
        return f"{words}…"


Caption = Sequence[tuple[str, str, str]]
"""The lines below a picture: words that may be cut, words after them that may not, and a colour."""


def prediction_sheet(
    evaluation: Evaluation, images: Iterable[LabelledImage], lettering: Lettering, chosen: Sequence[int]
) -> Image.Image:
    """The first of the chosen images, each above its prediction; the true class is added where it differs."""

    def caption(index: int) -> Caption:
        said, label = evaluation.predictions[index], evaluation.labels[index]
        share = f" {evaluation.confidences[index]:.0%}"
        if said == label:
            return [(lettering.shown[said], share, "black")]
        return [(lettering.shown[said], share, "firebrick"), (f"is {lettering.shown[label]}", "", "firebrick")]

    return sheet(evaluation, images, lettering, chosen, 2, caption)


def sheet(
    evaluation: Evaluation,
    images: Iterable[LabelledImage],
    lettering: Lettering,
    chosen: Sequence[int],
    lines: int,
    caption: Callable[[int], Caption],
) -> Image.Image:
    """At most `LARGEST` of the chosen images, each above at most `lines` lines of words."""
    chosen = chosen[:LARGEST]
    wanted = {evaluation.names[index] for index in chosen}
    by_name = {image.name: image for image in images if image.name in wanted}
    across, down = _TILE + _GAP, _TILE + lines * _LINE + _GAP
    drawn = Image.new("RGB", (_COLUMNS * across, max(-(-len(chosen) // _COLUMNS), 1) * down), "white")
    writer = Writer(ImageDraw.Draw(drawn), lettering)
    for place, index in enumerate(chosen):
        left, top = place % _COLUMNS * across + _GAP // 2, place // _COLUMNS * down + _GAP // 2
        tile = _tile(by_name[evaluation.names[index]].read())
        drawn.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
        for number, (words, tail, colour) in enumerate(caption(index), 1):
            baseline = top + _TILE + number * _LINE - 3
            words = writer.shorten(words, _TILE - writer.width(tail))
            writer.write(left, baseline, words, colour)
            # Apart from the words: to the left of a name that runs from right to left it would be read as part of it.
            writer.write(left + writer.width(words), baseline, tail, colour)
    if not chosen:
        writer.write(_GAP, _LINE + _GAP, "none", "black")
    return drawn


def _tile(payload: bytes) -> Image.Image:
    """The picture, its longer side `_TILE` pixels; gray if it has ceased to be readable since it was measured."""
    pixels = decode(payload)
    if isinstance(pixels, Rejected):
        return Image.new("RGB", (_TILE, _TILE), "lightgray")
    rgb = np.broadcast_to(pixels[..., ::-1], (*pixels.shape[:2], 3))
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    factor = _TILE / max(picture.size)
    return picture.resize((max(round(picture.width * factor), 1), max(round(picture.height * factor), 1)))
