"""Picture: the part of a file that the pixels of its first picture depend on."""

from __future__ import annotations

from typing import NamedTuple

UPRIGHT = 1


class Frame(NamedTuple):
    """Position of a picture that covers only a part of its canvas. The rest of the canvas is transparent.

    Attributes
    ----------
    width, height
        Size of the canvas.
    left, top
        Position of the picture on the canvas.
    """

    width: int
    height: int
    left: int
    top: int


class Picture(NamedTuple):
    """The part of a file that a decoder receives.

    Attributes
    ----------
    payload
        A file of the same format: the first picture only, without metadata, with an end. It is the original file if
        there is nothing to leave out.
    orientation
        EXIF orientation, 1 to 8.
    frame
        The canvas, if the picture does not cover all of it.
    is_cut
        Whether the file ends before its pixel data, so that pixels may be missing.
    colours
        Size of the colour table of a GIF; indices beyond it have no colour.
    """

    payload: bytes
    orientation: int = UPRIGHT
    frame: Frame | None = None
    is_cut: bool = False
    colours: int = 256
