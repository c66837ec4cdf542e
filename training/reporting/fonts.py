"""Fonts for class names in pictures; a name without a suitable installed font is shown as a number."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.font_manager import findfont, findSystemFonts
from matplotlib.ft2font import FT2Font

from sparkdl.system.terminal import printable

_PREFERRED = ("notosans", "noto", "lohit")  # prefixes of file names, lower case, without spaces
_VARIATIONS = range(0xFE00, 0xFE10)  # variation selectors


@dataclass(frozen=True)
class FontSet:
    """The fonts and texts that show class names in pictures.

    Attributes
    ----------
    fonts
        Font files, DejaVu Sans first. A letter is drawn with the first font that has it.
    text
        The text to draw for each class.
    numbered
        The classes that are drawn as `#` and their index, because no font has all their letters.
    """

    fonts: tuple[Path, ...]
    text: dict[str, str]
    numbered: tuple[str, ...]

    @classmethod
    def for_classes(cls, classes: Sequence[str], installed: Iterable[Path] | None = None) -> FontSet:
        """Choose fonts for `classes`, whose order gives their indices.

        Parameters
        ----------
        installed
            Font files to choose from, besides DejaVu Sans; default: the fonts of the system and of the user.
        """
        names = {name: printable(" ".join(name.split())) for name in classes}
        first = Path(findfont("DejaVu Sans"))
        missing = _lacking(first, {letter for name in names.values() for letter in name})
        fonts = [first]
        if missing:
            offered = [Path(path) for path in findSystemFonts()] if installed is None else list(installed)
            fonts += _choose(missing, offered)
        for font in fonts[1:]:
            missing = _lacking(font, missing)
        text = {
            name: f"#{index}" if missing.intersection(names[name]) else names[name]
            for index, name in enumerate(classes)
        }
        return cls(tuple(fonts), text, tuple(name for name in classes if missing.intersection(names[name])))

    @property
    def families(self) -> list[str]:
        """The family names of the fonts."""
        return [FT2Font(str(path)).family_name for path in self.fonts]


def _choose(missing: set[str], offered: Iterable[Path]) -> list[Path]:
    """Choose fonts greedily: in each step the font with the most letters that are still missing."""
    chosen: list[Path] = []
    lacking = {path: _lacking(path, missing) for path in sorted(offered, key=_preference)}
    while missing and lacking:
        best = min(lacking, key=lambda path: len(lacking[path] & missing))  # among equals, the preferred one
        if missing <= lacking[best]:
            break
        chosen.append(best)
        missing = missing & lacking[best]
    return chosen


def _preference(path: Path) -> tuple[int, str, str]:
    stem = path.stem.lower().replace(" ", "")
    rank = next((i for i, start in enumerate(_PREFERRED) if stem.startswith(start)), len(_PREFERRED))
    return rank, stem, str(path)


def _lacking(path: Path, letters: set[str]) -> set[str]:
    """Return the letters that the font lacks; all of them unless it is a readable upright outline font."""
    try:
        font = FT2Font(str(path))
    except (OSError, RuntimeError):
        return letters
    if not font.scalable or font.style_flags or "lastresort" in font.family_name.lower().replace(" ", ""):
        return letters
    return {letter for letter in letters if not has_letter(font, letter)}


def has_letter(font: FT2Font, letter: str) -> bool:
    """Whether the font can draw the letter; invisible letters need no glyph."""
    invisible = unicodedata.category(letter) == "Cf" or ord(letter) in _VARIATIONS
    return invisible or bool(font.get_char_index(ord(letter)))
