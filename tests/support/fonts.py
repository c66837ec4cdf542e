"""Fonts made for a test: squares for the letters they are asked to have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen


def make_font(path: Path, letters: Iterable[str], family: str, style: str = "Regular") -> Path:
    """Writes a TrueType font whose glyphs are filled squares."""
    names = {ord(letter): f"u{ord(letter):04X}" for letter in letters}
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    glyphs = [".notdef", *names.values()]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap(names)
    font.setupGlyf(dict.fromkeys(glyphs, square))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (900, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": family, "styleName": style})
    font.setupOS2(fsSelection=0x20 if style == "Bold" else 0x40)
    font.setupPost()
    if style == "Bold":
        font.font["head"].macStyle = 1
    font.save(path)
    return path
