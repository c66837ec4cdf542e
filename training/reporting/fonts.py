"""Names of classes in the pictures: in a font that has their letters, or by number where no installed one has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.font_manager import findfont, findSystemFonts
from matplotlib.ft2font import FT2Font

from sparkdl.system.terminal import printable

_PREFERRED = ("notosans", "noto", "lohit")  # how the names of files begin, lower case, without spaces
_VARIATIONS = range(0xFE00, 0xFE10)  # selectors of a letter's form


@dataclass(frozen=True)
class Lettering:
    """How classes are called in pictures.

    Attributes
    ----------
    fonts
        Files of fonts, the first that has a letter is to draw it. DejaVu Sans is the first.
    shown
        What to draw, by class.
    numbered
        The classes that are drawn as `#` and their index, because no font has all their letters.
    """

    fonts: tuple[Path, ...]
    shown: dict[str, str]
    numbered: tuple[str, ...]

    @classmethod
    def of(cls, classes: Sequence[str], installed: Iterable[Path] | None = None) -> Lettering:
        """The lettering of `classes`, whose order gives their indices.

        Parameters
        ----------
        installed
            Files of fonts to choose from beside DejaVu Sans; default: those of the system and of the user.
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
        shown = {
            name: f"#{index}" if missing.intersection(names[name]) else names[name]
            for index, name in enumerate(classes)
        }
        return cls(tuple(fonts), shown, tuple(name for name in classes if missing.intersection(names[name])))

    @property
    def families(self) -> list[str]:
        """The names of the fonts' families."""
        return [FT2Font(str(path)).family_name for path in self.fonts]


def _choose(missing: set[str], offered: Iterable[Path]) -> list[Path]:
    """Of the fonts offered, those that together have the most of the missing letters, each time the best."""
    chosen: list[Path] = []
    lacking = {path: _lacking(path, missing) for path in sorted(offered, key=_preference)}
    while missing and lacking:
        best = min(lacking, key=lambda path: len(lacking[path] & missing))  # the preferred one of equals
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
    """The letters that the font has not; all of them if it is not an upright one of outlines that can be read."""
    try:
        font = FT2Font(str(path))
    except (OSError, RuntimeError):
        return letters
    if not font.scalable or font.style_flags or "lastresort" in font.family_name.lower().replace(" ", ""):
        return letters
    return {letter for letter in letters if not has_letter(font, letter)}


def has_letter(font: FT2Font, letter: str) -> bool:
    """Whether the font has the letter, or needs none to draw it."""
    invisible = unicodedata.category(letter) == "Cf" or ord(letter) in _VARIATIONS
    return invisible or bool(font.get_char_index(ord(letter)))
