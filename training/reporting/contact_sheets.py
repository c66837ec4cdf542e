"""Contact sheets: images with their predictions as captions."""

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
from training.reporting.fonts import FontSet, has_letter

MAX_TILES = 40
"""Pictures on a sheet."""
_TILE = 96  # side, pixels
_GAP, _LINE = 8, 16  # pixels between tiles, and height of a text line
_COLUMNS = 8
_POINTS = 11
_MAX_LINE_LENGTH = 200  # characters, before the width is measured


class TextWriter:
    """Draws lines of text on a picture, each letter with the first font that has it."""

    def __init__(self, pen: ImageDraw.ImageDraw, fonts: FontSet) -> None:
        self._pen = pen
        self._fonts = [(FT2Font(str(p)), ImageFont.truetype(str(p), _POINTS)) for p in fonts.fonts]

    def _runs(self, text: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """Split `text` into runs of one font each; combining letters stay with the letters that they join."""
        start, current = 0, 0
        for place, letter in enumerate(text):
            able = [i for i, (font, _) in enumerate(self._fonts) if has_letter(font, letter)] or [0]
            best = current if place and current in able and not letter.isascii() else able[0]
            if best != current and place > start:
                yield text[start:place], self._fonts[current][1]
                start = place
            current = best
        yield text[start:], self._fonts[current][1]

    def width(self, text: str) -> float:
        """Return the width of `text`, pixels."""
        return sum(self._pen.textlength(part, font=font) for part, font in self._runs(text))

    def write(self, left: float, baseline: float, text: str, colour: str) -> None:
        """Draw one line of text that begins at (`left`, `baseline`)."""
        for part, font in self._runs(text):
            self._pen.text((left, baseline), part, fill=colour, font=font, anchor="ls")
            left += self._pen.textlength(part, font=font)

    def shorten(self, text: str, width: float) -> str:
        """Return `text` shortened to `width` pixels."""
        text = printable(" ".join(text.split()))[:_MAX_LINE_LENGTH]
        if self.width(text) <= width:
            return text
        while text and self.width(f"{text}…") > width:
            text = text[:-1]
        return f"{text}…"


Caption = Sequence[tuple[str, str, str]]
"""The lines below a picture: text that may be shortened, text after it that may not, and a colour."""


def prediction_sheet(
    evaluation: Evaluation, images: Iterable[LabelledImage], fonts: FontSet, chosen: Sequence[int]
) -> Image.Image:
    """Return a contact sheet of the first chosen images with their predictions, and true classes if they differ."""

    def caption(index: int) -> Caption:
        predicted, label = evaluation.predictions[index], evaluation.labels[index]
        confidence = f" {evaluation.confidences[index]:.0%}"
        if predicted == label:
            return [(fonts.text[predicted], confidence, "black")]
        return [(fonts.text[predicted], confidence, "firebrick"), (f"is {fonts.text[label]}", "", "firebrick")]

    return contact_sheet(evaluation, images, fonts, chosen, 2, caption)


def contact_sheet(
    evaluation: Evaluation,
    images: Iterable[LabelledImage],
    fonts: FontSet,
    chosen: Sequence[int],
    lines: int,
    caption: Callable[[int], Caption],
) -> Image.Image:
    """Return a contact sheet of up to `MAX_TILES` chosen images, each with up to `lines` lines of text below."""
    chosen = chosen[:MAX_TILES]
    wanted = {evaluation.names[index] for index in chosen}
    by_name = {image.name: image for image in images if image.name in wanted}
    across, down = _TILE + _GAP, _TILE + lines * _LINE + _GAP
    drawn = Image.new("RGB", (_COLUMNS * across, max(-(-len(chosen) // _COLUMNS), 1) * down), "white")
    writer = TextWriter(ImageDraw.Draw(drawn), fonts)
    for place, index in enumerate(chosen):
        left, top = place % _COLUMNS * across + _GAP // 2, place // _COLUMNS * down + _GAP // 2
        tile = _tile(by_name[evaluation.names[index]].read())
        drawn.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
        for number, (text, tail, colour) in enumerate(caption(index), 1):
            baseline = top + _TILE + number * _LINE - 3
            text = writer.shorten(text, _TILE - writer.width(tail))
            writer.write(left, baseline, text, colour)
            # Drawn separately: otherwise the layout would make it part of a right-to-left name.
            writer.write(left + writer.width(text), baseline, tail, colour)
    if not chosen:
        writer.write(_GAP, _LINE + _GAP, "none", "black")
    return drawn


def _tile(payload: bytes) -> Image.Image:
    """Return the picture with a longer side of `_TILE` pixels; a gray one if it can no longer be decoded."""
    pixels = decode(payload)
    if isinstance(pixels, Rejected):
        return Image.new("RGB", (_TILE, _TILE), "lightgray")
    rgb = np.broadcast_to(pixels[..., ::-1], (*pixels.shape[:2], 3))
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    factor = _TILE / max(picture.size)
    return picture.resize((max(round(picture.width * factor), 1), max(round(picture.height * factor), 1)))
