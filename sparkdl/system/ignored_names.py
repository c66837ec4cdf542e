"""Names of files and folders that no command reads: hidden, temporary, of the system, or named by `--ignore`.

The rule depends on names only, so a watched directory of any size can be listed without opening a file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from sparkdl.errors import RequestError
from sparkdl.system.left_out import Why

_ENDS = (
    *(".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload", ".aria2", "._copying_"),
    *(".tmp", ".temp", ".swp", ".swo", ".swx", "~"),
)
_NAMES = frozenset(
    (
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin", "system volume information"),
        *("lost+found", "@eadir", "_temporary", "_success"),
    )
)
TEMPORARY = (*(f"*{end}" for end in _ENDS), "~*", *sorted(_NAMES))
"""Patterns of temporary and system names, in any letter case: downloads, copies, editors, systems, Spark."""
_LAST = frozenset(letter for text in (*_ENDS, *_NAMES) for letter in (text[-1], text[-1].upper()))
"""The last letters of these names: most names have another one, and a directory may have a million of them."""


def _translate(pattern: str) -> str:
    """Return the regular expression for a glob: `*` and `?` within a name, `**` across folders, `[abc]`, `[!abc]`."""
    parts, position = [], 0
    while position < len(pattern):
        rest = pattern[position:]
        if rest.startswith("**/"):
            token, part = "**/", "(?:[^/]+/)*"
        elif rest.startswith("**"):
            token, part = "**", ".*"
        elif rest.startswith("*"):
            token, part = "*", "[^/]*"
        elif rest.startswith("?"):
            token, part = "?", "[^/]"
        elif match := re.match(r"\[(!?)(\]?[^\]/]*)\]", rest):
            token, part = match[0], f"[{'^/' if match[1] else ''}{_escape_set(match[2])}]"
        elif match := re.match(r"\\(.)", rest, re.DOTALL):
            token, part = match[0], re.escape(match[1])
        else:
            token, part = rest[0], re.escape(rest[0])
        parts.append(part)
        position += len(token)
    return "".join(parts)


def _escape_set(characters: str) -> str:
    return re.sub(r"([\\\[\]^&~|])", r"\\\1", characters)


class IgnoredNames:
    """The rule for ignored names; see `TEMPORARY`.

    Parameters
    ----------
    patterns
        Additional patterns, as in a `.gitignore`: a pattern without a slash is compared with the name of each file and
        folder (`*.bak`), one with a slash with the path below the directory (`raw/*.png`, `/old`, `**/masks/*`). A
        pattern with a trailing slash applies to folders only. Letter case counts. There is no negation.

    Raises
    ------
    RequestError
        If a pattern is empty, negated or invalid.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self._names = _compile(pattern for pattern in self.patterns if not _is_path(pattern))
        self._paths = _compile(pattern for pattern in self.patterns if _is_path(pattern))
        # File names are composed or decomposed, depending on the system that wrote them.
        self._composes = not all(map(str.isascii, self.patterns))

    def reason(self, folder: str, name: str, is_folder: bool = False) -> Why | None:
        """Return why a file or folder is ignored, by its own name only; None if it is not ignored.

        Parameters
        ----------
        folder
            The path of its folder relative to the directory, with a trailing slash; "" for the directory itself.
        """
        if name[0] == ".":
            return Why.HIDDEN
        if name[0] == "~" or (name[-1] in _LAST and _is_temporary(name.lower())):
            return Why.TEMPORARY
        if self._names and self._names.fullmatch(self._subject(name, is_folder)):
            return Why.IGNORED
        if self._paths and self._paths.fullmatch(self._subject(f"{folder}{name}", is_folder)):
            return Why.IGNORED
        return None

    def covers(self, path: str) -> bool:
        """Return whether the file at a relative path is ignored, by its own name or the name of one of its folders."""
        *folders, name = path.split("/")
        below = ""
        for folder in folders:
            if self.reason(below, folder, is_folder=True):
                return True
            below += f"{folder}/"
        return self.reason(below, name) is not None

    def _subject(self, name: str, is_folder: bool) -> str:
        subject = f"{name}/" if is_folder else name
        return unicodedata.normalize("NFC", subject) if self._composes else subject


def _is_temporary(lower: str) -> bool:
    return lower.endswith(_ENDS) or lower in _NAMES


def _is_path(pattern: str) -> bool:
    return "/" in pattern.removesuffix("/")


def _compile(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Return one expression for all patterns, to match names in which folders have a trailing slash."""
    expressions = []
    for pattern in patterns:
        if not pattern.strip("/") or pattern.startswith("!"):
            raise RequestError(f"--ignore: expected a pattern such as *.bak, raw/ or raw/*.png, received {pattern!r}")
        text = unicodedata.normalize("NFC", pattern.removeprefix("/"))
        try:
            expression = _translate(text) + ("" if text.endswith("/") else "/?")
            re.compile(expression)
        except re.error as error:
            raise RequestError(f"--ignore: {pattern!r} is not a valid pattern: {error.msg}") from error
        expressions.append(expression)
    return re.compile("|".join(expressions), re.DOTALL) if expressions else None
